"""The white boxes of a generation: the source, its surrogates and the references, asked together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.contract import contract_of
from cae_core.dataset import ImageSet
from cae_core.errors import PoolError
from cae_core.generation.ensembles import build_ensemble
from cae_core.generation.groups import MemberGroups
from cae_core.loaders import runs_code
from cae_core.models import DifferentiableModel, Ensemble, Precision
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.pool.same_model import first_equal, probe_images
from cae_core.progress import StageProgress, detail, silent

__all__ = ["Logits", "WhiteBoxes", "check_references", "open_white_boxes", "origin_of", "provenance_of"]


@dataclass(frozen=True)
class Logits:
    """The logits of the evaluated models, by relation.

    Attributes:
        source: float32 (n, c).
        surrogates: float32 (m, n, c).
        references: float32 (m, n, c).
    """

    source: Floats32
    surrogates: Floats32
    references: Floats32


@dataclass(frozen=True)
class WhiteBoxes:
    """The models of a generation, all of which answer with the same classes.

    Attributes:
        source: the owner's model.
        surrogates: derived from it, at least one.
        references: independently trained, at least one.
        names: of source, surrogates and references in this order, for messages; may be empty.
        groups: of surrogates and references.
    """

    source: DifferentiableModel
    surrogates: Sequence[DifferentiableModel]
    references: Sequence[DifferentiableModel]
    names: Sequence[str] = ()
    groups: MemberGroups = field(default_factory=MemberGroups)

    def __post_init__(self) -> None:
        for relation, members in (("surrogate", self.surrogates), ("reference", self.references)):
            if not members:
                raise PoolError(f"The pool has no {relation} left; a fingerprint needs at least one. Add models.")

    @property
    def models(self) -> tuple[DifferentiableModel, ...]:
        """Source, surrogates and references, in this order."""
        return (self.source, *self.surrogates, *self.references)

    def name(self, position: int) -> str:
        """Return the name of the model at ``position`` in `models`."""
        return self.names[position] if self.names else f"model {position}"

    def ensemble(self, *, precision: Precision = "float32") -> Ensemble:
        """Return all models as one ensemble, in the order of `models`."""
        return build_ensemble(self.models, precision=precision)

    def split(self, logits: Floats32, keep: NDArray[np.bool_]) -> Logits:
        """Divide the logits (m_kept, n, c) of an ensemble by relation; the source must have been kept."""
        kept_surrogates = int(keep[1 : 1 + len(self.surrogates)].sum())
        return Logits(logits[0], logits[1 : 1 + kept_surrogates], logits[1 + kept_surrogates :])


def open_white_boxes(
    members: GenerationMembers,
    *,
    opened: OpenPool | None = None,
    images: NDArray[np.uint8] | None = None,
    progress: StageProgress = silent,
) -> WhiteBoxes:
    """Open every member with gradients.

    Args:
        members: of the generation.
        opened: what the job has hashed already, and where it runs its models.
        images: uint8 (n, h, w, k), ordinary images by which each is checked; see `OpenPool.open_white_box`.
        progress: called with the members opened and their number.

    Raises:
        PoolError: a pool is empty.
        ModelError: a member cannot be opened.
    """
    everyone, opened = members.everyone, opened or OpenPool()
    groups = MemberGroups.of(members.surrogates, members.references)
    opened.expect(everyone, gradients=True)
    models: list[DifferentiableModel] = []
    for done, member in enumerate(everyone, start=1):
        detail(progress, "opening models", member.name)
        models.append(opened.open_white_box(member, images=images).model)
        progress(done, len(everyone))
    boundary = 1 + len(members.surrogates)
    names = [member.name for member in everyone]
    return WhiteBoxes(models[0], models[1:boundary], models[boundary:], names, groups)


def provenance_of(members: GenerationMembers, *, opened: OpenPool | None = None) -> dict[str, Any]:
    """Describe the members of a generation, as a fingerprint names them; ``opened`` has hashed some already.

    Raises:
        PoolError: a file has changed, or one file plays two parts.
    """
    seen: dict[str, str] = {}
    hashed = opened or OpenPool()

    def describe(member: PoolMember) -> dict[str, str]:
        digest = hashed.digest(member)
        if digest in seen:
            raise PoolError(
                f"{member.path} and {seen[digest]} are one file. "
                "A model is either the source, a surrogate or a reference."
            )
        seen[digest] = str(member.path)
        described = {"name": member.name, "sha256": digest, "kind": member.kind, "architecture": member.architecture}
        related = {"ancestor": member.ancestor, "twin": member.twin, "recipe": member.recipe}
        described |= {name: text for name, text in related.items() if text}
        return described | ({"form": member.path.suffix.lower()} if runs_code(member.path) else {})

    return {
        "source": describe(members.source),
        "surrogates": [describe(member) for member in members.surrogates],
        "references": [describe(member) for member in members.references],
    }


def origin_of(members: GenerationMembers, white_boxes: WhiteBoxes, *, opened: OpenPool) -> dict[str, Any]:
    """Return where the source was read and how it was asked, see `Fingerprint.origin`."""
    contract = contract_of(white_boxes.source)
    told = {} if contract is None else {"contract": contract.table(), "contract_sha256": contract.digest}
    return {"files": list(opened.files(members.source.path).lines), **told}


def check_references(white_boxes: WhiteBoxes, data: ImageSet, *, progress: StageProgress = silent) -> None:
    """Refuse a reference that answers like the source or a surrogate: nothing could be conferrable then.

    Args:
        white_boxes: source and *generate* members.
        data: the images from which the probes are made.
        progress: called with the models asked and their number.

    Raises:
        PoolError: naming both.
    """
    probes = probe_images(data)
    outputs: list[Floats32 | None] = []
    for position, model in enumerate(white_boxes.models):
        detail(progress, "comparing models", white_boxes.name(position))
        outputs.append(model.predict(probes).probabilities)
        progress(position + 1, len(white_boxes.models))
    first = 1 + len(white_boxes.surrogates)
    derived = [output for output in outputs[:first] if output is not None]
    for position, output in enumerate(outputs[first:], start=first):
        same = first_equal(output, np.stack(derived)) if output is not None else None
        if same is not None:
            what = "a surrogate" if same else "the source"
            raise PoolError(
                f"{white_boxes.name(position)}: this reference answers all probes like "
                f"{white_boxes.name(same)}, which is {what}: "
                "it is the same model, converted or copied. Remove one of the two."
            )
