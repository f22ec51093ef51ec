"""One iteration of the search (Algorithm 1): dropout, objective, pullback, Adam, projection; the batch's turnover."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, Labels, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError
from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS, PERTURBED_ERROR
from cae_core.generation.acceptance import accept
from cae_core.generation.run_state import Accepted, RunState
from cae_core.generation.selection import count_within
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.adam import AdamState, adam_step, init_adam
from cae_core.method.ball import Ball
from cae_core.method.dropout import keep_mask
from cae_core.method.objectives.objective import Goal, Objective
from cae_core.models import Ensemble
from cae_core.progress import silent

__all__ = ["Search"]

_ENOUGH = 4
"""Times the wanted examples, with which the search ends although some labels are short of their quota."""


@dataclass(frozen=True)
class Search:
    """The fixed parts of a generation; its methods take a `RunState` to the next one.

    Attributes:
        white_boxes: source, surrogates and references.
        data: where the seeds come from.
        settings: of the generation.
        searching: all models, in the search's precision.
        judging: all models, in float32.
    """

    white_boxes: WhiteBoxes
    data: ImageSet
    settings: GenerationSettings
    searching: Ensemble
    judging: Ensemble
    ball: Ball
    objective: Objective

    @classmethod
    def prepare(cls, white_boxes: WhiteBoxes, data: ImageSet, settings: GenerationSettings) -> "Search":
        """Build the ensembles and the objective."""
        judging = white_boxes.ensemble()
        searching = judging if settings.precision == "float32" else white_boxes.ensemble(precision=settings.precision)
        return cls(white_boxes, data, settings, searching, judging, settings.ball(), settings.make_objective())

    def seeds_of(self, state: RunState, position: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the seeds, uint8 (n, h, w, k), at these positions of the queue."""
        return self.data.images[state.queue.index[position]]

    def missing(self, state: RunState) -> int:
        """Return how many examples the seeds whose turn it is have yet to give; at most 0: there are enough.

        Seeds that the source gets wrong come first; those that it gets right give whatever there is not of other kinds.
        """
        if state.next_seed < state.queue.errors:
            return self._wanted_errors - self._errors_found(state)
        errors = min(self._wanted_errors, self._errors_found(state))
        return self.settings.count - self._unsearched(state) - errors - self._right_found(state)

    def finished(self, state: RunState) -> bool:
        """Return whether there are as many examples as are wanted."""
        return state.next_seed >= state.queue.errors and self.missing(state) <= 0

    def refill(self, state: RunState) -> RunState:
        """Let new seeds take the places that are free in the batch; after enough errors the other seeds begin."""
        state = self._passed_over(state)
        if self.missing(state) <= 0:
            return state
        end = state.queue.errors if state.next_seed < state.queue.errors else len(state.queue)
        most = len(state.queue) if self.settings.max_seeds is None else self.settings.max_seeds
        room = min(self._places(state) - len(state.position), end - state.next_seed, most - state.seeds_tried)
        if room <= 0:
            return state
        position = np.arange(state.next_seed, state.next_seed + room, dtype=np.int64)
        images = as_unit_float(self.seeds_of(state, position))
        fresh = init_adam(images.shape)
        return dataclasses.replace(
            state,
            next_seed=state.next_seed + room,
            position=np.concatenate([state.position, position]),
            start_step=np.concatenate([state.start_step, np.full(room, state.step, np.int32)]),
            images=np.concatenate([state.images, images]),
            adam=AdamState(
                np.concatenate([state.adam.first, fresh.first]),
                np.concatenate([state.adam.second, fresh.second]),
                np.concatenate([state.adam.steps, fresh.steps]),
            ),
        )

    def _passed_over(self, state: RunState) -> RunState:
        """Pass over the errors that are left, in the queue and in the batch, once there are enough of them."""
        errors = state.queue.errors
        if self._errors_found(state) < self._wanted_errors:
            return state
        left = max(0, errors - state.next_seed)
        passed = dataclasses.replace(state, next_seed=state.next_seed + left, skipped=state.skipped + left)
        return _staying(passed, state.position >= errors)

    @property
    def _wanted_errors(self) -> int:
        return self.settings.wanted()[PERTURBED_ERROR]

    def _unsearched(self, state: RunState) -> int:
        """Return how many examples need no search; of each kind at most those that are wanted."""
        found = {kind: int((state.unperturbed.kind == kind.code).sum()) for kind in EXAMPLE_KINDS if not kind.searched}
        return sum(min(count, self.settings.wanted()[kind]) for kind, count in found.items())

    def _errors_found(self, state: RunState) -> int:
        found = state.accepted.labels[state.accepted.position < state.queue.errors]
        return self._counted(found, self._wanted_errors)

    def _right_found(self, state: RunState) -> int:
        found = state.accepted.labels[state.accepted.position >= state.queue.errors]
        others = self._unsearched(state) + min(self._wanted_errors, self._errors_found(state))
        return self._counted(found, self.settings.count - others)

    def _counted(self, labels: Labels, wanted: int) -> int:
        """Return how many examples count: of one label no more than its quota, until there are twice the wanted."""
        if len(labels) >= _ENOUGH * wanted:
            return len(labels)
        return count_within(labels, self.settings.label_cap(wanted))

    def _places(self, state: RunState) -> int:
        """Return how many images are worth searching together: what is still missing, at the success rate so far."""
        missing = self.missing(state)
        finished = state.seeds_tried - len(state.position)
        worth = missing * finished // max(len(state.accepted), 1) + 1 if finished else self.settings.batch
        return min(self.settings.batch, max(worth, missing))

    def step(self, state: RunState) -> tuple[RunState, Floats64]:
        """Move every image of the batch one step down the objective; return its values (b,) before the step.

        Raises:
            ModelError: a model answers NaN.
        """
        keep = keep_mask(
            seed=self.settings.seed,
            step=state.step,
            surrogates=len(self.white_boxes.surrogates),
            references=len(self.white_boxes.references),
            dropout=self.settings.dropout,
        )
        logits, pull_back = self.searching.vjp(state.images, keep)
        self._check_finite(logits, keep)
        parts = self.white_boxes.split(logits, keep)
        goal = Goal(state.queue.original[state.position], state.queue.wanted[state.position])
        value = self.objective(parts.source, parts.surrogates, parts.references, goal)
        gradient = pull_back(value.stacked().astype(np.float32))
        change, adam = adam_step(state.adam, gradient, self.settings.step_size, form=self.settings.adam)
        seeds = as_unit_float(self.seeds_of(state, state.position))
        images = self.ball.project(state.images + change, seeds)
        return dataclasses.replace(state, step=state.step + 1, images=images, adam=adam), value.value

    def turn_over(self, state: RunState, *, seen: Callable[[Floats32], None] = silent) -> RunState:
        """Accept what is due and accepted; let accepted and spent images leave the batch.

        Args:
            state: after a step.
            seen: told the conferrability (n,) of those judged images, accepted or not, whose label is a wrong one.
        """
        every, steps = self.settings.check_every, state.adam.steps
        spent = steps >= self.settings.iterations
        due = spent | (steps % every == 0) if every else spent
        if not due.any():
            return state
        found, unconfirmed = self._judge(state, np.flatnonzero(due), seen)
        stay = ~(np.isin(state.position, [*found.position, *unconfirmed]) | spent)
        return dataclasses.replace(
            _staying(state, stay),
            accepted=state.accepted.extended(found),
            unconfirmed=state.unconfirmed + len(unconfirmed),
        )

    def _judge(
        self, state: RunState, index: NDArray[np.int64], seen: Callable[[Floats32], None]
    ) -> tuple[Accepted, NDArray[np.int64]]:
        """Judge the images at ``index`` of the batch as a suspect will see them.

        Return the accepted ones, and the queue positions of those that another implementation of a member's file does
        not confirm.
        """
        position = state.position[index]
        images = self.ball.quantise(state.images[index], self.seeds_of(state, position))
        original, truth = state.queue.original[position], self.data.labels[state.queue.index[position]]
        judged = accept(
            images,
            white_boxes=self.white_boxes,
            ensemble=self.judging,
            original=original,
            ground_truth=truth,
            tau=self.settings.tau,
            min_margin=self.settings.min_margin,
        )
        seen(judged.conferrability[(judged.labels != original) & (judged.labels != truth)])
        yes = judged.accepted
        found = Accepted(
            position[yes],
            images[yes],
            judged.labels[yes],
            judged.conferrability[yes],
            judged.worth[yes],
            state.start_step[index][yes],
            state.adam.steps[index][yes],
        )
        return found, position[judged.unconfirmed]

    def _check_finite(self, logits: Floats32, keep: NDArray[np.bool_]) -> None:
        finite = np.isfinite(logits).all(axis=(1, 2))
        if not finite.all():
            culprit = int(np.flatnonzero(keep)[np.flatnonzero(~finite)[0]])
            raise ModelError(
                f"{self.white_boxes.name(culprit)}: answers NaN or infinity during the search. "
                "Remove it from the pool, or search in float32 (--precision float32)."
            )


def _staying(state: RunState, stay: NDArray[np.bool_]) -> RunState:
    """Return the state with those images (b,) of the batch that ``stay``."""
    return dataclasses.replace(
        state,
        position=state.position[stay],
        start_step=state.start_step[stay],
        images=state.images[stay],
        adam=AdamState(state.adam.first[stay], state.adam.second[stay], state.adam.steps[stay]),
    )
