"""Ours: a fingerprint as `cae generate` makes it, with a preset's settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cae_core.arena.matching import Matching
from cae_core.arena.material import Material
from cae_core.arena.method import MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.arrays import Labels
from cae_core.errors import OptionError
from cae_core.files.digests import digest_of
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.selection import select
from cae_core.generation.settings import PRESET_SPLITS, PRESETS, GenerationSettings
from cae_core.progress import StageProgress

__all__ = ["OURS", "OURS_REPORT", "Conferrable"]


@dataclass(frozen=True, kw_only=True)
class Conferrable(Matching):
    """CAEAcc over conferrable examples; where natural errors are among them, beside what accuracy explains.

    Attributes:
        preset: of `GenerationSettings`.
        eps: radius, on the scale [0, 1]; None: the preset's, and so for the others.
        natural: share of natural errors.
        errors: share of perturbed errors.
        dropout: of pool members.
        iterations: for each image.
        max_seeds: how many seeds may be tried.
    """

    preset: str = "default"
    eps: float | None = None
    natural: float | None = None
    errors: float | None = None
    dropout: float | None = None
    iterations: int | None = None
    max_seeds: int | None = 2000

    needed: ClassVar[Needs] = Needs(gradients=True, pools=True)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise OptionError(f"preset must be one of {', '.join(PRESETS)}; found {self.preset!r}.")
        self.settings(1, 0)

    @property
    def needs(self) -> Needs:
        """Gradients, and the pools."""
        return self.needed

    @property
    def adjusts(self) -> bool:
        """Whether `cae calibrate` would adjust the score: where natural errors are examples."""
        return self.settings(1, 0).natural > 0

    def settings(self, count: int, seed: int) -> GenerationSettings:
        """Return the settings of a fingerprint of ``count`` examples."""
        return GenerationSettings.from_preset(
            self.preset,
            count=count,
            seed=seed,
            eps=self.eps,
            natural=self.natural,
            errors=self.errors,
            dropout=self.dropout,
            iterations=self.iterations,
            max_seeds=self.max_seeds,
        )

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`; a smaller budget asks what a fingerprint of that many examples would take of these."""
        settings, data = self.settings(max(budgets), material.seed), material.data
        if PRESET_SPLITS.get(self.preset, "test") != "all":
            data = data.subset(np.sort(material.places("test")))
        state = material.folder / f"generation-{digest_of(as_json(settings))[:16]}.partial"
        fingerprint = generate(
            material.white_boxes,
            data,
            settings,
            provenance=material.provenance,
            checkpoint=state,
            replace=True,
            progress=lambda _stage, done, total: progress(done, total),
        ).fingerprint
        plans = {budget: self._taken(fingerprint, budget, material.seed) for budget in budgets}
        return Queries(images=fingerprint.images, labels=fingerprint.labels, plans=plans)

    def _taken(self, fingerprint: Fingerprint, budget: int, seed: int) -> Labels:
        settings = self.settings(budget, seed)
        return select(fingerprint.example_kinds, fingerprint.labels, settings.wanted(), settings.label_cap)


OURS = MethodKind(
    name="ours",
    words="conferrable examples, this package's default preset",
    build=Conferrable,
    configurations={
        "default": {},
        "half-perturbed": {"natural": 0.5},
        "perturbed-errors": {"natural": 0.5, "errors": 0.5},
        "perturbed": {"preset": "perturbed"},
        "perturbed-16": {"preset": "perturbed", "eps": 16 / 255},
    },
)
OURS_REPORT = MethodKind(
    name="ours-report",
    words="conferrable adversarial examples with the 2023 report's settings (after Lukas et al. 2021)",
    build=Conferrable,
    configurations={
        "text": {"preset": "report"},
        "code": {"preset": "report-code"},
        "eps-0.07": {"preset": "report", "eps": 0.07},
        "eps-0.15": {"preset": "report", "eps": 0.15},
    },
)
