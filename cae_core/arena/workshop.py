"""Making every method's queries once, and keeping them: an interrupted comparison makes none again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.arena.answers import Asked
from cae_core.arena.contender import Contender
from cae_core.arena.material import Material
from cae_core.arena.measuring import Cost, measured
from cae_core.arena.method import Method
from cae_core.arena.queries import Queries, load_queries, save_queries
from cae_core.errors import GenerationError
from cae_core.files.digests import digest_of
from cae_core.files.records import as_json
from cae_core.progress import StageProgress, detail, silent

__all__ = ["Made", "Workshop"]

_STAGE = "making queries"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A configuration of a method with its queries.

    Attributes:
        contender: whose.
        configuration: name of the configuration.
        method: the method, with its parameters.
        asked: the queries.
        cost: what making the queries cost.
        failed: why there are none; empty where there are.
    """

    contender: Contender
    configuration: str
    method: Method
    asked: Asked
    cost: Cost
    failed: str

    def at(self, budget: int) -> Queries:
        """Return what is asked with this budget."""
        return self.asked.queries.rows(self.asked.queries.plans[budget])


@dataclass(frozen=True)
class Workshop:
    """Makes queries of some material.

    Attributes:
        material: what they are made of.
        budgets: ascending.
        folder: folder that keeps the queries.
    """

    material: Material
    budgets: Sequence[int]
    folder: Path

    def make(self, contender: Contender, configuration: str, *, progress: StageProgress = silent) -> Made:
        """Return the queries of a configuration, made now or before.

        Raises:
            CaeError: the source or a pool cannot be used; see `Material`.
        """
        method = contender.configurations[configuration]
        known = self._id(contender, method)
        path = self.folder / f"{known[:32]}.safetensors"
        if not path.exists():
            self._made(method, path, f"{contender.name}, {configuration}", progress)
        queries, told = load_queries(path)
        asked = Asked(
            id=known,
            queries=queries,
            classes=len(self.material.data.class_names),
            probabilities=method.needs.answers == "probabilities",
        )
        cost = Cost(float(told["seconds"]), float(told["peak_mb"]) if told["peak_mb"] else None)
        return Made(
            contender=contender,
            configuration=configuration,
            method=method,
            asked=asked,
            cost=cost,
            failed=told["failed"],
        )

    def tidy(self) -> None:
        """Remove what methods have kept for an interrupted run, once all queries are made."""
        for path in self.material.folder.glob("*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.material.folder.rmdir()

    def _made(self, method: Method, path: Path, name: str, progress: StageProgress) -> None:
        def tell(done: int, total: int) -> None:
            detail(progress, _STAGE, f"{name}: {done} of {total}")

        detail(progress, _STAGE, name)
        self.material.prepare(pools=method.needs.pools)  # once for all methods: no one's time
        failed = ""
        with measured() as cost:
            try:
                queries = method.make(self.material, self.budgets, progress=tell)
            except GenerationError as error:
                queries, failed = self._none(), str(error)
        peak = "" if cost.peak_mb is None else f"{cost.peak_mb:.0f}"
        save_queries(
            queries,
            path,
            told={"arena": "1", "name": name, "seconds": f"{cost.seconds:.3f}", "peak_mb": peak, "failed": failed},
        )

    def _none(self) -> Queries:
        empty = np.zeros((0, *self.material.data.images.shape[1:]), np.uint8)
        return Queries.in_order(empty, np.zeros(0, np.int64), self.budgets)

    def _id(self, contender: Contender, method: Method) -> str:
        """Return the digest of all that decides the queries, but for the program's release."""
        material = self.material
        made_of: dict[str, Any] = {"source": material.provenance["source"]["sha256"]}
        if method.needs.pools:
            made_of |= {
                side: [member["sha256"] for member in material.provenance[side]]
                for side in ("surrogates", "references")
            }
        return digest_of(
            {
                "arena": 1,
                "method": contender.name.partition(":")[0],
                "parameters": as_json(method),
                "budgets": list(self.budgets),
                "seed": material.seed,
                "data": material.data.sha256(),
                **made_of,
            }
        )
