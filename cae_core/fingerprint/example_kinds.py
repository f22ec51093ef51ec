"""The kinds of examples, one row each: how an image came to be an example, which its code in the file tells.

All of them are examples: their label is a wrong one of the source, they decide and count in CAEAcc. They differ in what
an innocent model answers to them, so scores that take out the accuracy look at each kind by itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels

__all__ = [
    "BLEND",
    "EXAMPLE_KINDS",
    "NATURAL_ERROR",
    "PERTURBED",
    "PERTURBED_ERROR",
    "ExampleKind",
    "count_example_kinds",
]


@dataclass(frozen=True, kw_only=True)
class ExampleKind:
    """One kind of example.

    Attributes:
        code: in the file's tensor ``example_kind``; it never changes.
        name: in records and settings' words.
        words: what an example of this kind is.
        searched: whether it was perturbed by the search, within eps of its seed; else its steps are 0.
        seed_right: whether the source is right about its seed; None: either.
    """

    code: int
    name: str
    words: str
    searched: bool
    seed_right: bool | None


PERTURBED = ExampleKind(
    code=0,
    name="perturbed",
    words="an image that the source gets right, perturbed within eps",
    searched=True,
    seed_right=True,
)
"""The kind of the ICLR 2021 paper, and the only one in files without kinds."""

PERTURBED_ERROR = ExampleKind(
    code=1,
    name="perturbed error",
    words="an image that the source gets wrong, perturbed within eps",
    searched=True,
    seed_right=False,
)

NATURAL_ERROR = ExampleKind(
    code=2,
    name="natural error",
    words="an unchanged image that the source gets wrong",
    searched=False,
    seed_right=False,
)

BLEND = ExampleKind(
    code=3,
    name="blend",
    words="two images put together, to which the source gives a third label",
    searched=False,
    seed_right=None,
)
"""Its seed is the image of which it holds more, and its true class that image's."""

EXAMPLE_KINDS = (PERTURBED, PERTURBED_ERROR, NATURAL_ERROR, BLEND)
"""All kinds, each at the place of its code."""


def count_example_kinds(codes: Labels | NDArray[np.uint8]) -> dict[str, int]:
    """Return how many examples of each kind there are, by its name; kinds without any are left out.

    Example:
        >>> count_example_kinds(np.array([0, 2, 2]))
        {'perturbed': 1, 'natural error': 2}
    """
    return {kind.name: count for kind in EXAMPLE_KINDS if (count := int((codes == kind.code).sum()))}
