"""What stands in a page: its blocks, and what an invisible comment before a block says about running it."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "blocks_of", "indented_commands", "pages"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"(?:<!-- (?P<said>[^\n]*?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_NOT_RUN = re.compile(r"not run: (?P<reason>.+)")
_EXITS = re.compile(r"exits with (?P<code>\d+)")
_COMMAND = re.compile(r"^    (?:cae|python|pip|make|dask|openssl|curl) ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: relative to the project.
        line: of its first fence, from 1.
        language: what stands behind the first fence: sh, python, toml or text.
        text: its lines.
        reason: why it is not run; empty where it is.
        exit_code: that it must end with.
        said: what a comment before it says that is neither.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    exit_code: int = 0
    said: str = ""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is something that a reader may run."""
        return self.language in ("sh", "python")

    @property
    def file(self) -> str:
        """The name of the file whose content it shows, where its first line is a comment that says so; else empty."""
        named = re.match(r"# ([\w.-]+\.toml)\b", self.text)
        return named[1] if named and self.language == "toml" else ""


def pages() -> list[str]:
    """Return README and all pages of ``docs/``, relative to the project."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    return parsed((ROOT / page).read_text(encoding="utf-8"), page)


def parsed(text: str, page: str) -> list[Block]:
    """Return the blocks of a page's text, in order."""
    found = []
    for match in _FENCE.finditer(text):
        said = match["said"] or ""
        reason, exits = _NOT_RUN.fullmatch(said), _EXITS.fullmatch(said)
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("language")) + 1,
                language=match["language"].strip(),
                text=match["text"],
                reason=reason["reason"] if reason else "",
                exit_code=int(exits["code"]) if exits else 0,
                said="" if reason or exits else said,
            )
        )
    return found


def indented_commands(text: str) -> list[str]:
    """Return the lines that look like commands and stand in no fence, where nothing would run them."""
    return [line.strip() for line in re.findall(_COMMAND.pattern + r".*", _FENCE.sub("", text), re.MULTILINE)]
