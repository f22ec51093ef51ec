"""What the documentation site is made of beside its pages: each table that the code can tell, and the drawings.

A page says ``<!-- generated: NAME -->`` where a table belongs, and `cae_site.generated` puts it there while Sphinx
reads the page. So nothing that is generated is kept in the repository, and nothing can be out of date.
"""

from typing import TYPE_CHECKING, Any

from cae_site.pages import keyboard_and_readers, prepared

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]

_AFTER_THE_THEME = 900


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx, which calls this, how a page is prepared."""
    app.connect("source-read", _read)
    app.connect("html-page-context", _finish, priority=_AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(_: "Sphinx", __: str, source: list[str]) -> None:
    source[0] = prepared(source[0])


def _finish(_: "Sphinx", __: str, ___: str, context: dict[str, Any], ____: object) -> None:
    for part in ("body", "furo_navigation_tree"):
        if part in context:
            context[part] = keyboard_and_readers(context[part])
