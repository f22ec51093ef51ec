"""What a method asks a suspect, and how it travels through a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels, check_images
from cae_core.errors import DataError
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.reading import reading

__all__ = ["Queries", "load_queries", "save_queries"]

_PLAN, _FACT = "plan.", "fact."
"""Before the names of tensors that are plans, and facts."""


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Images that a method asks, and what it knows of each.

    Attributes:
        images: uint8 (q, h, w, k).
        labels: int64 (q,), the answer to each that speaks for a copy; what it means is the method's.
        plans: for each budget the rows that are asked with it, int64.
        facts: further arrays, (q, ...), that the method's score needs, by name.
    """

    images: NDArray[np.uint8]
    labels: Labels
    plans: Mapping[int, Labels]
    facts: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])

    def __post_init__(self) -> None:
        check_images(self.images)
        for name, rows in (("labels", self.labels), *self.facts.items()):
            if len(rows) != len(self.images):
                raise DataError(f"{len(self.images)} queries need as many {name}; found {len(rows)}.")
        for budget, rows in self.plans.items():
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.images):
                raise DataError(f"The plan for {budget} queries names rows that are not there.")

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def in_order(cls, images: NDArray[np.uint8], labels: Labels, budgets: Sequence[int], **facts: NDArray[Any]) -> Self:
        """Return queries of which a budget of n asks the first n, or all where there are fewer."""
        plans = {budget: np.arange(min(budget, len(images)), dtype=np.int64) for budget in budgets}
        return cls(images=images, labels=labels.astype(np.int64), plans=plans, facts=facts)

    def rows(self, index: Labels) -> Self:
        """Return the queries at ``index``, all of them in one plan of that size."""
        facts = {name: fact[index] for name, fact in self.facts.items()}
        plans = {len(index): np.arange(len(index), dtype=np.int64)}
        return type(self)(images=self.images[index], labels=self.labels[index], plans=plans, facts=facts)


def save_queries(queries: Queries, path: Path, *, told: Mapping[str, str]) -> None:
    """Write queries, with ``told`` as the file's metadata.

    Raises:
        StorageError: it cannot be written.
    """
    tensors: dict[str, NDArray[Any]] = {"images": queries.images, "labels": queries.labels}
    tensors |= {f"{_PLAN}{budget}": rows for budget, rows in queries.plans.items()}
    tensors |= {f"{_FACT}{name}": fact for name, fact in queries.facts.items()}
    write_atomically(path, pack_tensors(tensors, told))


def load_queries(path: Path) -> tuple[Queries, dict[str, str]]:
    """Return queries that `save_queries` wrote, and what was told of them.

    Raises:
        DataError: the file holds something else.
    """
    remedy = "Remove it, and the queries are made again."
    with reading(path, DataError, fault="these are no queries of cae compare", remedy=remedy):
        told, tensors = read_tensors(path)
        queries = Queries(
            images=tensors.pop("images"),
            labels=tensors.pop("labels"),
            plans={int(name.removeprefix(_PLAN)): rows for name, rows in tensors.items() if name.startswith(_PLAN)},
            facts={name.removeprefix(_FACT): fact for name, fact in tensors.items() if name.startswith(_FACT)},
        )
    return queries, told
