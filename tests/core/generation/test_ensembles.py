"""Ensembles keep the order of their members whatever the backends are, and do not evaluate dropped ones."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import as_unit_float
from cae_core.errors import ModelError
from cae_core.generation.ensembles import SequentialEnsemble, build_ensemble
from cae_core.models import DifferentiableModel, Ensemble, Precision
from cae_core.testing import CallableModel, LinearModel, check_ensemble

SHAPE = (3, 3, 1)
IMAGES: NDArray[np.uint8] = np.random.default_rng(5).integers(0, 256, (4, *SHAPE), dtype=np.uint8)


class Groupable(CallableModel):
    """A white box whose backend groups its models, and notes what it was asked for."""

    groups: list[tuple[int, Precision]] = []  # noqa: RUF012 - one list for all, on purpose

    def __init__(self, seed: int) -> None:
        linear = LinearModel.random(SHAPE, classes=5, seed=seed)
        super().__init__(lambda x: linear.vjp(x)[0], lambda x, g: linear.vjp(x)[1](g))

    @classmethod
    def group(cls, models: Sequence[Self], *, precision: Precision) -> Ensemble:
        cls.groups.append((len(models), precision))
        return SequentialEnsemble(models)


def linear(seed: int, classes: int = 5) -> LinearModel:
    return LinearModel.random(SHAPE, classes=classes, seed=seed)


def test_members_of_several_backends_keep_their_order() -> None:
    members: list[CallableModel] = [linear(0), Groupable(1), linear(2), Groupable(3), Groupable(4)]
    Groupable.groups.clear()
    ensemble = build_ensemble(members, precision="bfloat16")
    assert Groupable.groups == [(3, "bfloat16")]
    check_ensemble(ensemble, members, IMAGES, evaluations=lambda: [member.calls for member in members])


def test_members_of_one_backend_need_no_joining() -> None:
    members: Sequence[DifferentiableModel] = [linear(0), linear(1)]
    ensemble = build_ensemble(members)
    assert isinstance(ensemble, SequentialEnsemble)
    check_ensemble(ensemble, members, IMAGES)


@pytest.mark.parametrize("members", [[linear(0), linear(1, classes=4)], [linear(0, classes=4), Groupable(1)]])
def test_members_must_agree_on_the_classes(members: list[CallableModel]) -> None:
    with pytest.raises(ModelError, match=r"found \[4, 5\]"):
        build_ensemble(members).vjp(as_unit_float(IMAGES), np.ones(2, np.bool_))


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        build_ensemble([linear(0), linear(1)]).vjp(as_unit_float(IMAGES), np.ones(3, np.bool_))
