"""What the tests look for in a page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Page", "read_page"]

_VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})


@dataclass
class Tag:
    """One element, with the text that stands inside it."""

    name: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page, element by element; it fails on tags that are not closed in their order."""

    tags: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Tag(tag, dict(attrs))
        self.tags.append(found)
        if tag not in _VOID:
            self._open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.name == tag, f"<{closed.name}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.text += data

    def named(self, *names: str) -> list[Tag]:
        """Return the elements of these names, in their order."""
        return [tag for tag in self.tags if tag.name in names]

    @property
    def text(self) -> str:
        """Everything that is read, style sheets left out."""
        (body,) = self.named("body")
        return " ".join(body.text.split())


def read_page(html: str) -> Page:
    """Read a page to its end."""
    page = Page()
    page.feed(html)
    page.close()
    assert not page._open
    return page
