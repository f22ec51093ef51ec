"""The settings of a generation: what is refused, the presets, and what is derived."""

import dataclasses
import json
from typing import Any

import pytest

from cae_core.errors import OptionError
from cae_core.files.digests import canonical_json
from cae_core.files.records import as_json
from cae_core.generation.settings import PRESETS, GenerationSettings
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.margins import MarginLoss

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 0.0}, "eps"),
        ({"eps": NAN}, "eps"),
        ({"eps": 1.5}, "eps"),
        ({"count": 0}, "count must be at least 1; found 0"),
        ({"iterations": 0}, "iterations"),
        ({"batch": 0}, "batch"),
        ({"check_every": -1}, "check_every must be at least 0"),
        ({"seed": -1}, "seed"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\); found 1"),
        ({"dropout": NAN}, "dropout"),
        ({"tau": 1.0}, "tau"),
        ({"tau": -0.1}, "tau"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": NAN}, "learning_rate"),
        ({"w_confer": NAN}, "w_confer"),
        ({"w_references": INFINITY}, "w_references"),
        ({"cap": NAN}, "cap"),
        ({"min_margin": NAN}, "min_margin"),
        ({"norm": "l1"}, "norm must be one of linf, l2; found 'l1'"),
        ({"objective": "fgsm"}, "objective"),
        ({"target": "min"}, "target"),
        ({"ranking": "best"}, "ranking"),
        ({"adam": "tensorflow"}, "adam must be one of paper, keras; found 'tensorflow'"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        GenerationSettings(**{"eps": 0.1, **changes})  # type: ignore[arg-type]


def test_adam_can_reach_the_ball_with_the_default_rate() -> None:
    """It moves about one rate a step."""
    for iterations in (1, 10, 300):
        settings = GenerationSettings(eps=0.1, iterations=iterations)
        assert settings.step_size * iterations >= settings.eps
    assert GenerationSettings(eps=0.1, learning_rate=5e-4).step_size == 5e-4


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_can_be_changed(preset: str) -> None:
    settings = GenerationSettings.from_preset(preset, count=7, seed=None)
    assert settings.count == 7
    assert settings.seed == 0
    assert settings.eps == PRESETS[preset]["eps"]
    assert GenerationSettings.from_preset(preset, eps=0.3).eps == 0.3


def test_the_reports_presets_are_its_text_and_its_code() -> None:
    text, code = GenerationSettings.from_preset("report"), GenerationSettings.from_preset("report-code")
    assert (text.iterations, text.step_size, text.eps, text.tau, text.dropout) == (300, 5e-4, 0.025, 0.95, 0.3)
    assert (code.iterations, code.step_size, code.eps, code.tau, code.dropout) == (100, 5e-4, 0.15, 0.85, 0.3)
    assert (text.target, code.target) == ("max", "source")
    for settings in (text, code):
        # all iterations, and then the filter, which knows no margin; Adam is Keras'
        assert (settings.check_every, settings.min_margin, settings.adam) == (0, 0, "keras")
        assert (settings.w_confer, settings.w_adversarial, settings.w_transfer) == (1, 1, 1)
        assert settings.objective == "composite-keras"


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="no preset 'fast'; there are default, report, report-code"):
        GenerationSettings.from_preset("fast")


def test_the_objective_has_the_settings_weights() -> None:
    settings = GenerationSettings(
        eps=0.1, objective="composite", target="source", w_confer=0.5, w_adversarial=0.25, w_transfer=2.0
    )
    expected = CompositeLoss(w_confer=0.5, w_adversarial=0.25, w_transfer=2.0, target="source", keras_clipping=False)
    assert settings.make_objective() == expected
    keras = GenerationSettings(eps=0.1, objective="composite-keras").make_objective()
    assert keras == CompositeLoss(keras_clipping=True)
    margins = GenerationSettings(eps=0.1, cap=3.0, w_references=0.5).make_objective()
    assert margins == MarginLoss(cap=3.0, w_references=0.5)


def test_the_settings_are_json_and_come_back() -> None:
    names = {field.name for field in dataclasses.fields(GenerationSettings)}
    later = {"akh", "adam"}  # ids from before there were these stay as they are
    used: tuple[tuple[dict[str, Any], set[str]], ...] = (
        ({"akh": 3, "adam": "keras"}, names),
        ({"akh": 3}, names - {"adam"}),
        ({}, names - later),
    )
    for changes, told in used:
        settings = GenerationSettings(eps=8 / 255, norm="l2", max_seeds=50, **changes)
        again = GenerationSettings(**json.loads(canonical_json(as_json(settings))))
        assert again == settings
        assert set(as_json(settings)) == told
