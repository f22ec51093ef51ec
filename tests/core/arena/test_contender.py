"""Methods by their names, configurations and parameters; those of other packages; what is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from cae_core.arena import kinds
from cae_core.arena.contender import Contender, parse_contenders
from cae_core.arena.kinds import kind_named, known_kinds
from cae_core.arena.material import Material
from cae_core.arena.method import MOST_CONFIGURATIONS, Method, MethodKind, Needs
from cae_core.arena.methods.adversarial import IteratedGradient
from cae_core.arena.methods.conferrable import Conferrable
from cae_core.arena.queries import Queries
from cae_core.errors import OptionError
from cae_core.models import Predictions
from cae_core.progress import StageProgress


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """A third party's: how alike the answers to black images are."""

    level: int = 0

    @property
    def needs(self) -> Needs:
        return Needs()

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:  # noqa: ARG002
        images = np.full((max(budgets), *material.data.images.shape[1:]), self.level, np.uint8)
        return Queries.in_order(images, material.source.predict(images).labels, budgets)

    def score(self, queries: Queries, answers: Predictions) -> float:
        return float((answers.labels == queries.labels).sum())


BRIGHTNESS = MethodKind(name="brightness", words="agreement on black images", build=Brightness)
SOMETHING_ELSE = MethodKind(name="other", words="", build=Brightness)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have another package with methods installed."""
    points = [
        EntryPoint("brightness", f"{__name__}:BRIGHTNESS", "cae.methods"),
        EntryPoint("misnamed", f"{__name__}:SOMETHING_ELSE", "cae.methods"),
        EntryPoint("broken", "no_such_module_at_all:X", "cae.methods"),
        EntryPoint("akh", f"{__name__}:BRIGHTNESS", "cae.methods"),
    ]
    monkeypatch.setattr(kinds, "entry_points", lambda group: points if group == "cae.methods" else [])
    kinds.foreign_points.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> object:
    kinds.foreign_points.cache_clear()
    yield
    kinds.foreign_points.cache_clear()


@pytest.mark.parametrize("name", known_kinds())
def test_every_method_builds_each_of_its_configurations(name: str) -> None:
    kind = kind_named(name)
    assert kind.name == name
    assert 1 <= len(kind.configurations) <= MOST_CONFIGURATIONS
    for configuration in kind.configurations:
        method = kind.configured(configuration)
        assert isinstance(method, Method)
        assert method.needs.answers in ("labels", "probabilities")


def test_a_method_is_named_with_parameters() -> None:
    (method,) = Contender.parse("pgd:eps=16/255,steps=7").configurations.values()
    assert isinstance(method, IteratedGradient)
    assert (method.eps, method.steps, method.start) == (16 / 255, 7, "random")  # the rest as usual


def test_a_method_is_named_with_a_configuration() -> None:
    assert list(Contender.parse("bim:report").configurations) == ["report"]


def test_ours_has_the_presets_settings() -> None:
    method = Contender.parse("ours").configurations["default"]
    assert isinstance(method, Conferrable)
    settings = method.settings(100, 0)
    assert (settings.natural, settings.label_quota, settings.eps) == (1.0, 1 / 3, 8 / 255)
    assert method.adjusts
    assert not Conferrable(preset="report").adjusts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pdg", "no method 'pdg'; there are ours"),
        ("pgd:best", "no configuration 'best'; it has eps-8"),
        ("pgd:eps=0", "eps must be at least 1/255"),
        ("pgd:eps=inf", "eps must be"),
        ("pgd:eps=2", "fraction of the range"),
        ("pgd:epsilon=1/255", "unknown field 'epsilon'"),
        ("pgd:steps=3.5", "steps must be of type int"),
        ("pgd:steps=0", "at least 1"),
        ("pgd:norm=l7", "norm must be one of linf, l2"),
        ("pgd:eps=1/0", "eps must be a finite number"),
        ("pgd:eps=1/255,steps", "name=value"),
        ("pgd+sharpened", "no modifier +sharpened; there are +screened, +adjusted"),
        ("ours:preset=best", "preset must be one of default"),
        ("cw:rate=0", "above 0"),
        ("fgm:most_seeds=0", "most_seeds must be at least 1"),
    ],
)
def test_what_is_not_there_is_refused(text: str, sentence: str) -> None:
    import re

    with pytest.raises(OptionError, match=re.escape(sentence)):
        Contender.parse(text)


def test_a_method_is_named_once() -> None:
    with pytest.raises(OptionError, match="named twice"):
        parse_contenders(["akh", "random", "akh"])


def test_another_packages_method_is_found_by_its_entry_point(third_party: None) -> None:
    assert known_kinds()[-3:] == ("brightness", "broken", "misnamed")
    (method,) = Contender.parse("brightness:level=9").configurations.values()
    assert method == Brightness(level=9)
    assert Contender.parse("akh").words != BRIGHTNESS.words  # a name of ours stays ours


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("broken", "cannot be loaded (No module named 'no_such_module_at_all')"),
        ("misnamed", "must be a MethodKind named misnamed"),
        ("brightness+screened", "+screened takes a method whose score is a match rate"),
    ],
)
def test_another_packages_method_may_be_broken(third_party: None, text: str, sentence: str) -> None:
    import re

    with pytest.raises(OptionError, match=re.escape(sentence)):
        Contender.parse(text)


def test_a_method_has_at_most_eight_configurations() -> None:
    nine: dict[str, dict[str, object]] = {f"level-{i}": {"level": i} for i in range(9)}
    with pytest.raises(OptionError, match="1 to 8"):
        MethodKind(name="brightness", words="", build=Brightness, configurations=nine)
