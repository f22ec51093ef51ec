"""What an image is worth as an example: the gap between surrogates and the worst group of references.

What a thief copies is the source's mistakes. So an image is worth

    mean p_S[y*] - max over the groups g of references of (n_g mean_g + 4 mean) / (n_g + 4)

where p_S and p_R are softmax of surrogates and references, mean_g is the mean of p_R[y*] over the n_g references of a
group and mean the mean over all of them: what two or three references say by chance is drawn towards what all say. A
group is what was trained on the same images, where the manifest says so: a reference learns the truth of the images
that it sees and keeps to the source's mistakes on others, and an image is to be worth the same whatever an innocent
model saw. By architecture and by recipe the *mean* decides: on development models the worst of those groups, of one to
four members each, chose worse (docs/results/thieves.md). The difference of means did better than mean p_S (1 - mean
p_R), the conferrability of the ICLR 2021 paper.

Where a surrogate has a *twin*, a reference of its seed, architecture and images that learned the truth of them, their
difference leaves only what came from the source; its mean counts as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.errors import PoolError
from cae_core.pool.manifest import PoolMember

__all__ = ["MemberGroups"]

_TOWARDS_ALL = 4
"""How many references the mean over all counts as, where a group's own is drawn towards it."""


@dataclass(frozen=True)
class MemberGroups:
    """The groups of the references, and the pairs of surrogates and references that are twins.

    Attributes:
        labels: for each attribute the label of every reference, in their order; empty: one group of all. An empty
            label is unknown.
        twins: of each pair the places of the surrogate and of the reference in their pools.
    """

    labels: tuple[tuple[str, ...], ...] = ()
    twins: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, surrogates: Sequence[PoolMember], references: Sequence[PoolMember]) -> Self:
        """Return what the manifests say of these members.

        Raises:
            PoolError: a surrogate's twin is not among the references.
        """
        labels = tuple(zip(*(_attributes(reference) for reference in references), strict=True))
        place = {member.name: index for index, member in enumerate(references)}
        paired = [(index, member) for index, member in enumerate(surrogates) if member.twin]
        for _, member in paired:
            if member.twin not in place:
                raise PoolError(
                    f"{member.path}: its twin {member.twin!r} is no reference of the role generate in this pool. "
                    "Correct the manifest's twin, or leave it out."
                )
        return cls(labels, tuple((index, place[member.twin]) for index, member in paired))

    @cached_property
    def masks(self) -> tuple[NDArray[np.bool_], ...]:
        """Of each distinct group which references belong to it, bool (r,); empty: all are one group."""
        groups = (np.array([label == own for label in row]) for row in self.labels for own in dict.fromkeys(row))
        return tuple({mask.tobytes(): mask for mask in groups}.values())

    def worst(self, references: Floats64) -> Floats64:
        """Return the largest group's mean, drawn towards all references', (n,), of what they give, (r, n)."""
        overall = references.mean(axis=0)
        groups = (references[mask] for mask in self.masks)
        means = [(own.sum(axis=0) + _TOWARDS_ALL * overall) / (len(own) + _TOWARDS_ALL) for own in groups]
        return np.asarray(np.max([overall, *means], axis=0), np.float64)

    def worth(self, surrogates: Floats64, references: Floats64) -> Floats64:
        """Return what images are worth as examples, (n,), in [-1, 1].

        Args:
            surrogates: (m, n), the probability that each surrogate gives the source's label y*.
            references: (r, n), the probability that each reference gives y*.
        """
        gap = np.asarray(surrogates.mean(axis=0) - self.worst(references), np.float64)
        if not self.twins:
            return gap
        own, other = (np.array(places) for places in zip(*self.twins, strict=True))
        return np.asarray((gap + (surrogates[own] - references[other]).mean(axis=0)) / 2, np.float64)


def _attributes(reference: PoolMember) -> tuple[str, ...]:
    """Return by what a reference belongs to groups; a manifest that lacks one says nothing by it."""
    trained = reference.trained_on
    # without the seed of a random share, which would make a group of each model
    images = "" if trained is None else repr((trained.data, trained.split, trained.share, str(trained.indices or "")))
    return reference.exposure, images
