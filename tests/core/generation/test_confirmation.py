"""Examples and probes are asked again of the members' files; those that differ are dropped and counted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.generation.confirmation import confirmed_by_witnesses, witness_of
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.run_state import load_checkpoint
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.models import DifferentiableModel
from tests.core.toys import PROVENANCE, LinearModel, make_world, quick_settings


@dataclass
class Told:
    """A witness that answers like its model, but for images whose first pixel is odd where it is a liar."""

    model: DifferentiableModel
    liar: bool
    name: str = "the runtime"
    resolution: float = 2.0**-23

    def logits(self, images: Floats32, *, plain: bool = False) -> Floats32:  # noqa: ARG002 - the protocol's
        logits = self.model.vjp(images)[0].copy()
        odd = (images.reshape(len(images), -1)[:, 0] * 255).round() % 2 == 1
        return np.where((odd & self.liar)[:, None], -logits, logits)


def odd(images: NDArray[np.uint8]) -> int:
    return int((images.reshape(len(images), -1)[:, 0] % 2).sum())


def witnessed(white_boxes: WhiteBoxes, *, liars: tuple[int, ...]) -> WhiteBoxes:
    for place, model in enumerate(white_boxes.models):
        model.witness = Told(model, place in liars)  # type: ignore[attr-defined] # as a backend's model has it
    return white_boxes


def made(*, liars: tuple[int, ...], checkpoint: Path | None = None) -> GenerationResult:
    world = make_world()  # of its own: its models get witnesses
    white_boxes = witnessed(world.white_boxes, liars=liars)
    return generate(white_boxes, world.data, quick_settings(count=8), provenance=PROVENANCE, checkpoint=checkpoint)


def test_only_images_to_which_every_file_gives_the_same_label_are_confirmed() -> None:
    model = LinearModel(np.random.default_rng(0).standard_normal((12, 3)))
    images = np.random.default_rng(1).integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)
    logits = model.vjp(as_unit_float(images))[0]
    assert witness_of(model) is None
    assert confirmed_by_witnesses([model], images, logits[None]).all()
    model.witness = Told(model, liar=True)  # type: ignore[attr-defined]
    confirmed = confirmed_by_witnesses([model], images, logits[None])
    assert (confirmed == (images[:, 0, 0, 0] % 2 == 0)).all()


def test_files_that_agree_change_nothing() -> None:
    world = make_world()
    plain = generate(world.white_boxes, world.data, quick_settings(count=8), provenance=PROVENANCE)
    asked = made(liars=())
    assert asked.fingerprint.id == plain.fingerprint.id
    assert asked.unconfirmed == asked.unconfirmed_probes == 0


def test_examples_and_probes_that_differ_are_dropped_and_counted() -> None:
    for liar in (0, len(make_world().white_boxes.models) - 1):  # the source's file, and a reference's
        result = made(liars=(liar,))
        assert result.unconfirmed > 0
        assert result.unconfirmed_probes > 0
        assert odd(result.fingerprint.images) == odd(result.fingerprint.probe_images) == 0


def test_the_count_survives_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "state"
    result = made(liars=(0,), checkpoint=path)
    again = made(liars=(0,), checkpoint=path)
    assert path.exists()
    assert load_checkpoint(path, run_id="another") is None
    assert again.unconfirmed == result.unconfirmed > 0
