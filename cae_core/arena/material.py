"""What methods make their queries of: the source, the pools, and labelled images; each is opened and asked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from cae_core.arena.remembering import Memory, Remembering
from cae_core.arrays import Floats32, Labels
from cae_core.dataset import ImageSet
from cae_core.errors import GenerationError, ModelError
from cae_core.generation.probes import benign_places
from cae_core.generation.seeds import checked_accuracy, checked_probabilities
from cae_core.generation.white_boxes import WhiteBoxes, open_white_boxes, provenance_of
from cae_core.models import DifferentiableModel, Predictions
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers

__all__ = ["Material", "Part"]

Part: TypeAlias = Literal["test", "all"]
"""Which images: those that are no training images, as far as it is known; or training images too."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """The source, the pools of the role *generate*, and the images; no model is asked about an image twice.

    Attributes:
        members: members of the role generate.
        data: labelled images; the benign probes are not among them.
        seed: random seed for everything that a method draws.
        opened: opens members.
        folder: where a method may keep what it has done, for an interrupted comparison.
    """

    members: GenerationMembers
    data: ImageSet
    seed: int
    opened: OpenPool = field(repr=False)
    folder: Path

    @cached_property
    def white_boxes(self) -> WhiteBoxes:
        """Source, surrogates and references with gradients; for methods that need the pools."""
        boxes = open_white_boxes(self.members, opened=self.opened, images=self.data.images)
        each = [self._remembering(box, boxes.name(place)) for place, box in enumerate(boxes.models)]
        first = 1 + len(boxes.surrogates)
        return replace(boxes, source=each[0], surrogates=each[1:first], references=each[first:])

    @cached_property
    def source(self) -> DifferentiableModel:
        """The source with gradients."""
        if "white_boxes" in self.__dict__:
            return self.white_boxes.source
        member = self.members.source
        return self._remembering(self.opened.open_white_box(member, images=self.data.images).model, member.name)

    @cached_property
    def _memory(self) -> Memory:
        return Memory()

    def _remembering(self, model: DifferentiableModel, name: str) -> Remembering:
        return Remembering(model, name=name, memory=self._memory)

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """Names and digests of the members, as a fingerprint has them."""
        return provenance_of(self.members, opened=self.opened)

    @cached_property
    def source_answers(self) -> Predictions:
        """What the source answers to each image of ``data``.

        Raises:
            GenerationError: it is no better than chance: its contract or the data are not the right ones.
            PoolError: it answers with other classes than the data have.
        """
        answers, data, name = self.source.predict(self.data.images), self.data, self.members.source.name
        if answers.probabilities is not None:
            checked_probabilities(answers, name, len(data.class_names))
        checked_accuracy(answers.labels, data.labels, len(data.class_names), name, source=True)
        return answers

    def prepare(self, *, pools: bool) -> None:
        """Open what is needed, and ask the source.

        Raises:
            GenerationError: see `source_answers`.
        """
        _ = self.white_boxes if pools else self.source
        _ = self.source_answers

    def close(self) -> None:
        """Let go of the models; whoever needs one opens it again."""
        for name in ("white_boxes", "source", "_memory"):
            self.__dict__.pop(name, None)

    def places(self, part: Part) -> Labels:
        """Return the places of the images of this part, int64, in an order drawn by the seed."""
        found = benign_places(self.data) if part == "test" else np.arange(len(self.data), dtype=np.int64)
        drawn: Labels = found[np.random.default_rng([self.seed, 2]).permutation(len(found))]
        return drawn

    def right(self, part: Part) -> Labels:
        """Return the places of the images that the source gets right, in the same order.

        Raises:
            GenerationError: there is none.
        """
        found = self._where(self.places(part), right=True)
        if not len(found):
            raise GenerationError("The source gets none of the images right. Give images of its task.")
        return found

    def wrong(self, part: Part, *, surest: bool = False) -> Labels:
        """Return the places of the images that the source gets wrong, in the same order, or the surest first.

        Raises:
            GenerationError: there is none.
        """
        found = self._where(self.places(part), right=False)
        if not len(found):
            raise GenerationError("The source gets every image right, so that none is an error of its own.")
        if not surest:
            return found
        surest_first: Labels = found[np.argsort(-self.probabilities(found).max(axis=1), kind="stable")]
        return surest_first

    def _where(self, places: Labels, *, right: bool) -> Labels:
        is_right = self.source_answers.labels[places] == self.data.labels[places]
        kept: Labels = places[is_right == right]
        return kept

    def probabilities(self, places: Labels) -> Floats32:
        """Return the source's probabilities (n, c) of these images.

        Raises:
            ModelError: it tells labels only.
        """
        if self.source_answers.probabilities is None:
            raise ModelError(f"{self.members.source.name}: answers with labels only, and probabilities are needed.")
        return self.source_answers.probabilities[places]
