"""From m + 1 fingerprints, of the claimed source and of its controls, to the one that carries them all.

The sources must be exchangeable for whoever derives from none of them. So every fingerprint is made by the same
settings, with as many surrogates and with the same references, under a seed of its own, and of each as many examples
are kept as the poorest has: the first ones, in the order in which their seeds were tried.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cae_core.dataset import ImageSet
from cae_core.errors import OptionError, PoolError
from cae_core.files.digests import canonical_json
from cae_core.fingerprint.control_sources import CONTROLS
from cae_core.fingerprint.file import Fingerprint, LabelledImages
from cae_core.fingerprint.kinds import CONTROL
from cae_core.generation.generate import generation_inputs
from cae_core.generation.settings import GenerationSettings
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers

__all__ = ["check_alike", "control_settings", "is_made_of", "with_controls"]


def control_settings(settings: GenerationSettings, number: int) -> GenerationSettings:
    """Return the settings for the control of this ``number``, counted from 1: the claimed source's but for the seed."""
    return dataclasses.replace(settings, seed=settings.seed + number)


def check_alike(claimed: GenerationMembers, controls: Sequence[GenerationMembers], *, opened: OpenPool) -> None:
    """Refuse controls that are not treated as the claimed source is.

    Args:
        claimed: the members of the claimed source's generation.
        controls: of each control source's.
        opened: what the job has hashed already.

    Raises:
        PoolError: one has another number of surrogates or other references, or one model plays two parts.
    """
    references = {opened.digest(member) for member in claimed.references}
    seen = {opened.digest(member): member for member in claimed.everyone}
    for control in controls:
        found, wanted = len(control.surrogates), len(claimed.surrogates)
        if found != wanted:
            raise PoolError(
                f"{control.source.path}: this control source has {found} surrogates and the claimed source has "
                f"{wanted}. A fair comparison takes as many: train, or name, equal numbers with the role generate."
            )
        if {opened.digest(member) for member in control.references} != references:
            raise PoolError(
                f"{control.source.path}: its references with the role generate are not the claimed source's. Let all "
                "manifests name the same ones."
            )
        for member in (control.source, *control.surrogates):
            _refuse_seen(member, seen, opened.digest(member))


def _refuse_seen(member: PoolMember, seen: dict[str, PoolMember], digest: str) -> None:
    if digest in seen:
        raise PoolError(
            f"{member.path} and {seen[digest].path} are one file. Each source, and each surrogate, is a model of its "
            "own; remove one."
        )
    seen[digest] = member


def is_made_of(
    fingerprint: Fingerprint, data: ImageSet, settings: GenerationSettings, provenance: Mapping[str, Any]
) -> bool:
    """Return whether a fingerprint is what a generation with these inputs makes, so that it need not run again."""
    inputs = generation_inputs(data, settings, provenance)
    inputs["source"] = {**inputs["source"], "accuracy": fingerprint.source_accuracy}
    return canonical_json(inputs) == canonical_json({name: fingerprint.generation.get(name) for name in inputs})


def with_controls(claimed: Fingerprint, controls: Sequence[Fingerprint]) -> Fingerprint:
    """Return the claimed source's fingerprint with the examples of the controls', of each as many as the poorest has.

    Args:
        claimed: of the claimed source.
        controls: of each control source, made alike.

    Raises:
        OptionError: one is of other classes, or of images of another size.
    """
    for control in controls:
        if (control.class_names, control.images.shape[1:]) != (claimed.class_names, claimed.images.shape[1:]):
            raise OptionError("A control source's fingerprint is of other classes or of images of another size.")
    n = min(map(len, (claimed, *controls)))
    images = LabelledImages(
        np.concatenate([control.images[:n] for control in controls]),
        np.concatenate([control.labels[:n] for control in controls]),
    )
    generation = {
        **claimed.generation,
        CONTROL.name: images.described(),
        CONTROLS: [_described(control) for control in controls],
    }
    return dataclasses.replace(
        claimed.first(n), generation=generation, further={**claimed.further, CONTROL.name: images}
    )


def _described(control: Fingerprint) -> dict[str, Any]:
    """Return what a generation says of a control source."""
    generation = control.generation
    return {
        **generation["source"],
        "seed": generation["settings"]["seed"],
        "fingerprint": control.id,
        "surrogates": generation["surrogates"],
    }
