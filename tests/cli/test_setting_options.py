"""The settings as options of `cae generate`: those of the objectives come from their table, and every one arrives."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cae_core import workflows
from cae_core.errors import GenerationError
from cae_core.generation.settings import GenerationSettings
from cae_core.method.objectives.table import OBJECTIVES, OPTIONS
from tests.cli.conftest import Pool, Run


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_help_tells_every_objective_and_its_options_in_their_order(
    run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = run_cae("generate", "--help").out
    flags = re.findall(r"^. \*?\s*(--[a-z-]+)", text, re.MULTILINE)
    after = flags.index("--objective") + 1
    assert flags[after : after + len(OPTIONS)] == [flag(option.name) for option in OPTIONS]
    assert flags[:2] == ["--data", "--source"]
    last = ["--output", "--replace", "--trusted", "--limits", "--device", "--json", "--help"]
    end = flags.index("--help") + 1
    assert flags[end - len(last) : end] == last
    assert [words for words in ("The search", "The loss", "Kinds of examples") if words not in text] == []
    for words in (*OBJECTIVES, *(option.help for option in OPTIONS), "[default: 100]"):
        assert words in text


GIVEN: dict[str, Any] = {
    "eps": 0.25, "norm": "l2", "count": 7, "seed": 5, "iterations": 9, "learning_rate": 0.5, "dropout": 0.1,
    "tau": 0.25, "check_every": 3, "batch": 4, "ranking": "random", "max_seeds": 8, "precision": "bfloat16", "akh": 2,
}  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_option_arrives_as_its_setting(
    objective: str, pool: Pool, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OBJECTIVES[objective].options
    own = {o.name: "source" if isinstance(o.default, str) else o.default + 1 for o in options}
    given = {**GIVEN, "objective": objective, **own}
    arrived: list[GenerationSettings] = []

    def stop(*_parts: object, settings: GenerationSettings, **_more: object) -> None:
        arrived.append(settings)
        raise GenerationError("stopped")

    monkeypatch.setattr(workflows, "generate_fingerprint", stop)
    arguments = [text for name, value in given.items() for text in (flag(name), str(value))]
    assert run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", *arguments)).err == "cae: stopped\n"
    assert arrived == [GenerationSettings(**given)]


@pytest.mark.parametrize(
    ("objective", "option"),
    [(kind.name, o) for kind in OBJECTIVES.values() for o in OPTIONS if o not in kind.options],
    ids=str,
)
def test_an_option_of_another_objective_is_refused_in_a_sentence(
    objective: str, option: Any, pool: Pool, tmp_path: Path, run_cae: Run  # noqa: ANN401 - an `Option`
) -> None:  # fmt: skip
    value = "source" if isinstance(option.default, str) else "3"
    arguments = ("--objective", objective, flag(option.name), value)
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", *arguments))
    assert outcome.code == 2
    assert outcome.err.startswith(f"cae: {option.name} is an option of ")
    assert f"with the objective {objective}, which does not read it. Leave it out" in outcome.err


def test_the_commands_are_listed_without_loading_the_table() -> None:
    program = (
        "import sys, atexit\n"
        "heavy = ('numpy', 'cae_core.method')\n"
        "atexit.register(lambda: print('LOADED', [name for name in heavy if name in sys.modules]))\n"
        "sys.argv = ['cae', '--help']\n"
        "from cae_cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Generate the fingerprint of a source model." in result.stdout
    assert result.stdout.rstrip().endswith("LOADED []")
