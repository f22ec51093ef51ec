"""The table of objectives: each has a record, options with defaults and help, and what makes it of them."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from cae_core.errors import OptionError
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.margins import MarginLoss
from cae_core.method.objectives.table import OBJECTIVES, OPTIONS, ObjectiveOptions, objective_named, objectives_with
from tests.core.toys import LogitCase


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_record_builds_its_objective_from_the_options_that_stand_in_the_settings(name: str) -> None:
    kind = objective_named(name)
    assert issubclass(ObjectiveOptions, kind.holder)
    assert kind.options
    objective = kind.build(ObjectiveOptions())
    case = LogitCase.draw(3)
    assert case.evaluate(objective).shape == (len(case.source),)
    for option in kind.options:
        assert option.help.endswith(".")
        other: Any = "source" if isinstance(option.default, str) else option.default + 0.5
        assert other != option.default
        changed = kind.build(dataclasses.replace(ObjectiveOptions(), **{option.name: other}))
        assert getattr(changed, option.name) == other
        assert changed != objective


def test_every_option_stands_once_and_is_a_setting() -> None:
    names = [option.name for option in OPTIONS]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(ObjectiveOptions))
    assert len(set(names)) == len(names)
    assert all(option.default == getattr(ObjectiveOptions(), option.name) for option in OPTIONS)


def test_the_table_says_which_objectives_read_an_option() -> None:
    told = {option.name: objectives_with(option) for option in OPTIONS}
    composite = ("composite", "composite-keras")
    assert (
        told.items()
        >= {
            **dict.fromkeys(("target", "w_confer", "w_adversarial", "w_transfer"), composite),
            **dict.fromkeys(("cap", "w_references"), ("margins",)),
        }.items()
    )


def test_a_name_without_a_record_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(OptionError, match=r"objective must be one of composite, .*; found 'cw'"):
        objective_named("cw")


def test_a_loss_refuses_what_is_out_of_range() -> None:
    with pytest.raises(OptionError, match="target must be one of max, source; found 'min'"):
        CompositeLoss(target="min")  # type: ignore[arg-type]
    for number in (np.nan, np.inf):
        with pytest.raises(OptionError, match="w_transfer must be a finite number"):
            CompositeLoss(w_transfer=number)
        with pytest.raises(OptionError, match="cap must be a finite number"):
            MarginLoss(cap=number)
