"""What the pages promise runs: each block of README and docs/, page by page, in the order in which it is read.

`make test-long` reads them: each page in a folder of its own, with what its reader has beforehand (`furnishing`). A
block that is not run says why, in a comment before it, and its options are looked up all the same.
"""

import io
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cae_cli import main as cae
from tests.backends.timestamping import needs_openssl
from tests.documents.furnishing import furnish_colours, furnish_digits, programs
from tests.documents.matching import missing_line
from tests.documents.pages import ROOT, Block, blocks_of, indented_commands, pages, parsed

PAGES = [page for page in pages() if any(block.runs for block in blocks_of(page))]
COLOURED = ("README.md", "docs/conversion.md", "docs/data.md", "docs/architectures.md")
"""Pages about CIFAR-10; the others are about the digits."""

NOT_RUN = 88
"""How many blocks of all pages are not run. Each says why; whoever adds one changes this number, and knows it."""

pytestmark = needs_openssl
BASH = shutil.which("bash")


@dataclass
class Reader:
    """Runs the blocks of one page.

    Attributes:
        folder: where.
        environment: of the commands.
        printed: what the last block printed.
        python: of the page so far: each block goes on where the one before it ended.
    """

    folder: Path
    environment: dict[str, str]
    printed: str = ""
    python: str = ""
    faults: list[str] = field(default_factory=list)

    def read(self, page: str) -> list[str]:
        """Run a page; return what is wrong with it, up to the first block that fails."""
        for block in blocks_of(page):
            if not block.reason and not self._take(block):
                break
        return self.faults

    def _take(self, block: Block) -> bool:
        if block.runs:
            return self._run(block)
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "text" and block.said == "printed":
            line = missing_line(block.text, self.printed)
            if line is not None:
                self.faults.append(f"{block.place}: {line!r} is shown, and what is printed has it not:\n{self.printed}")
        return True

    def _run(self, block: Block) -> bool:
        if block.language == "sh":
            command = [str(BASH), "-euo", "pipefail", "-c", block.text]
        else:
            self.python += block.text
            command = [sys.executable, "-c", self.python]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        self.printed = done.stdout
        if done.returncode != block.exit_code:
            said = (done.stdout + done.stderr)[-3000:]
            self.faults.append(f"{block.place}: exit code {done.returncode}, expected {block.exit_code}:\n{said}")
        return done.returncode == block.exit_code


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, Path]:
    """The two folders that pages are read in copies of; that of the digits with a fingerprint."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("digits", "colours")}
    furnish_digits(made["digits"], Path(environment["HOME"]) / "authority")
    furnish_colours(made["colours"])
    generate = "cae generate --pool pool.toml --data digits --eps 48/255 --tau 0.6 --count 20 --iterations 30"
    calibrate = "cae calibrate --pool pool.toml --fpr 0.05 --fnr 0.1 --fingerprint"
    text = f"{generate} --output fingerprint.safetensors\n{calibrate} fingerprint.safetensors\n"
    assert Reader(made["digits"], environment)._run(Block("the furniture", 0, "sh", text))
    return made


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page: str, furnished: dict[str, Path], environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(furnished["colours" if page in COLOURED else "digits"], folder)
    faults = Reader(folder, environment).read(page)
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("page", pages())
def test_the_blocks_of_a_page_are_of_kinds_that_are_known(page: str) -> None:
    """Commands stand in fences, where they are run; what is TOML can be read."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert indented_commands(text) == []
    for block in blocks_of(page):
        assert block.language in ("sh", "python", "toml", "text"), f"{block.place}: the block does not say what it is"
        assert not block.said or (block.said == "printed" and block.language == "text"), f"{block.place}: {block.said}"
        if block.language == "toml":
            tomllib.loads(block.text)


def test_the_blocks_that_are_not_run_are_counted() -> None:
    left_out = [block for page in pages() for block in blocks_of(page) if block.runs and block.reason]
    assert len(left_out) == NOT_RUN, "\n".join(f"{block.place}: {block.reason}" for block in left_out)


def options_named(block: Block) -> set[tuple[str, str]]:
    """Return the commands of a block with each option that they are given."""
    text = block.text.replace("\\\n", " ")
    found = set()
    for line in text.splitlines():
        command = re.match(r"(cae(?: pool)? [a-z]+|python (?:-m [\w.]+|\S+\.py)) ?(.*)", line)
        if command:
            found |= {(command[1], option) for option in re.findall(r"--[a-z][a-z-]*", command[2].partition(" #")[0])}
    return found


def run_here(words: list[str]) -> None:
    """Run a command of a page in this process, which has imported the frameworks already."""
    match words:
        case ["cae", *_]:
            cae.main()
        case ["python", "-m", module, *_]:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["python", script, *_]:
            runpy.run_path(str(ROOT / script), run_name="__main__")


def help_of(command: str) -> str:
    """Return what a command prints for ``--help``."""
    words, printed = [*command.split(), "--help"], io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv("COLUMNS", "160")
        patch.setattr("sys.argv", words if words[0] == "cae" else words[1:])
        patch.syspath_prepend((ROOT / words[1]).parent)  # of a script
        with pytest.raises(SystemExit) as exit_:
            run_here(words)
    assert exit_.value.code in (0, None), command
    return printed.getvalue()


def test_options_of_what_is_not_run_are_known_all_the_same() -> None:
    named = {pair for page in pages() for block in blocks_of(page) if block.reason for pair in options_named(block)}
    assert len(named) > 20
    helped = {command: help_of(command) for command in sorted({command for command, _ in named})}
    unknown = [(command, option) for command, option in sorted(named) if option not in helped[command]]
    assert unknown == []


def test_what_a_block_says_of_itself() -> None:
    text = (
        "<!-- not run: it is long -->\n```sh\ntrue\n```\n\n<!-- exits with 3 -->\n```sh\nfalse\n```\n\n"
        "```toml\n# a.toml: x\n```\n"
    )
    first, second, third = parsed(text, "page.md")
    assert (first.reason, first.exit_code, first.line, first.runs) == ("it is long", 0, 2, True)
    assert (second.reason, second.exit_code, second.line) == ("", 3, 7)
    assert (third.file, third.runs) == ("a.toml", False)
    assert indented_commands(text + "\n    cae verify x\n    p = 1\n") == ["cae verify x"]


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("sh", "cae verify --no-such-option", "exit code 2, expected 0"),
        ("sh", "false\ntrue", "exit code 1, expected 0"),
        ("python", "import no_such_module", "exit code 1, expected 0"),
    ],
)
def test_a_block_that_fails_is_told(
    language: str, text: str, said: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    reader = Reader(tmp_path, environment)
    assert not reader._run(Block("page.md", 7, language, text))
    assert reader.faults[0].startswith(f"page.md:7: {said}")


def test_what_is_shown_and_not_printed_is_told(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {}, printed="one\ntwo 2.5 three\n\nfour")
    reader._take(Block("page.md", 1, "text", "two … three\nfour\n", said="printed"))
    assert reader.faults == []
    for wrong in ("two 2.6 three", "one\nfour", "three"):
        reader._take(Block("page.md", 1, "text", wrong, said="printed"))
    assert len(reader.faults) == 3
