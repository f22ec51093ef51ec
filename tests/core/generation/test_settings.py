"""The settings of a generation: what is refused, the presets, and what is derived."""

import dataclasses
import json
from typing import Any

import pytest

from cae_core.errors import OptionError
from cae_core.files.digests import canonical_json
from cae_core.files.records import as_json
from cae_core.generation import settings as settings_module
from cae_core.generation.settings import PRESETS, GenerationSettings, without_unused
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.margins import MarginLoss
from cae_core.method.objectives.table import OBJECTIVES, OPTIONS

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
        ({"objective": "fgsm"}, "objective must be one of composite, composite-keras, margins.*; found 'fgsm'"),
        ({"objective": "composite", "target": "min"}, "target must be one of max, source; found 'min'"),
        ({"objective": "composite", "w_transfer": INFINITY}, "w_transfer must be a finite number; found inf"),
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
    with pytest.raises(OptionError, match="no preset 'fast'; there are default, perturbed, report, report-code"):
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


FIRST_OPTIONS = ("target", "w_confer", "w_adversarial", "w_transfer", "cap", "w_references")

UNUSED = [
    (kind.name, option.name, "source" if isinstance(option.default, str) else option.default + 1)
    for kind in OBJECTIVES.values()
    for option in OPTIONS
    if option not in kind.options
]


def test_every_pair_of_an_objective_and_an_option_that_it_does_not_read_is_tested() -> None:
    assert set(UNUSED) >= {
        ("margins", "target", "source"),
        *(("margins", f"w_{name}", 2.0) for name in ("confer", "adversarial", "transfer")),
        *((name, "cap", 7.0) for name in ("composite", "composite-keras")),
        *((name, "w_references", 3.0) for name in ("composite", "composite-keras")),
    }


@pytest.mark.parametrize(("objective", "option", "value"), UNUSED)
def test_an_option_that_the_objective_does_not_read_is_refused(objective: str, option: str, value: Any) -> None:  # noqa: ANN401 - a number or a word
    """It had no effect, and was accepted in silence."""
    given = {"objective": objective, option: value}
    message = rf"{option} is an option of .*; found {value!r} with the objective {objective}, .* Leave it out"
    with pytest.raises(OptionError, match=message):
        GenerationSettings(eps=0.1, **given)
    for preset in PRESETS:
        with pytest.raises(OptionError, match=message):
            GenerationSettings.from_preset(preset, **given)


@pytest.mark.parametrize(("objective", "option", "value"), UNUSED)
def test_its_default_is_no_choice(objective: str, option: str, value: Any) -> None:  # noqa: ANN401 - a number or a word
    """Every fingerprint names all six options of the first objectives, and its settings must load."""
    default = next(o.default for o in OPTIONS if o.name == option)
    assert default != value
    settings = GenerationSettings(eps=0.1, **{"objective": objective, option: default})  # type: ignore[arg-type]
    told = as_json(settings)
    assert told[option] == default if option in FIRST_OPTIONS else option not in told
    assert GenerationSettings(**as_json(settings)) == settings


@pytest.mark.parametrize(("objective", "option", "value"), UNUSED)
def test_without_unused_leaves_out_what_has_no_effect(objective: str, option: str, value: Any) -> None:  # noqa: ANN401 - a number or a word
    given = {"eps": 0.1, "objective": objective, option: value}
    assert without_unused(given) == {"eps": 0.1, "objective": objective}
    used = next(iter(OBJECTIVES[objective].options)).name
    assert without_unused({**given, used: 5})[used] == 5


def test_what_a_preset_says_of_its_own_objective_goes_with_it() -> None:
    """The preset chose it, not its user: `report-code` has the composite loss's target."""
    changed = GenerationSettings.from_preset("report-code", objective="margins")
    assert (changed.objective, changed.target, changed.tau) == ("margins", "max", 0.85)
    assert GenerationSettings.from_preset("report-code", objective="composite").target == "source"


def test_the_records_order_is_what_it_was() -> None:
    assert list(as_json(GenerationSettings(eps=0.1, akh=1, adam="keras"))) == [
        *("eps", "norm", "count", "seed", "objective"),
        *FIRST_OPTIONS,
        *("iterations", "learning_rate", "dropout", "tau", "min_margin", "check_every", "batch", "ranking"),
        *("max_seeds", "precision", "akh", "adam"),
    ]


def test_options_of_later_objectives_are_told_with_their_own_objective_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the margins had come after the composite loss: no earlier id would change."""
    margins = {option.name for option in OBJECTIVES["margins"].options}
    monkeypatch.setattr(settings_module, "_ALWAYS", settings_module._ALWAYS - margins)
    assert not margins & set(as_json(GenerationSettings(eps=0.1, objective="composite")))
    assert margins <= set(as_json(GenerationSettings(eps=0.1, objective="margins")))


def test_the_settings_are_json_and_come_back() -> None:
    foreign = {option.name for option in OPTIONS} - set(FIRST_OPTIONS)
    names = {field.name for field in dataclasses.fields(GenerationSettings)} - foreign
    shares = {"errors": 0.25, "natural": 0.25, "blends": 0.25, "blend_candidates": 7, "label_quota": 0.5}
    later = {"akh", "adam", *shares}  # ids from before there were these stay as they are
    used: tuple[tuple[dict[str, Any], set[str]], ...] = (
        ({"akh": 3, "adam": "keras", **shares}, names),
        ({"akh": 3}, names - later | {"akh"}),
        ({}, names - later),
    )
    for changes, told in used:
        settings = GenerationSettings(eps=8 / 255, norm="l2", max_seeds=50, **changes)
        again = GenerationSettings(**json.loads(canonical_json(as_json(settings))))
        assert again == settings
        assert set(as_json(settings)) == told
