"""What the documentation site is made of beside its pages: each table that the code can tell, and the drawings.

A page says ``<!-- generated: NAME -->`` where a table belongs, and `cae_site.generated` puts it there while Sphinx
reads the page. So nothing that is generated is kept in the repository, and nothing can be out of date.
"""

from typing import TYPE_CHECKING

from cae_site.pages import prepared

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx, which calls this, how a page is prepared."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(_: "Sphinx", __: str, source: list[str]) -> None:
    source[0] = prepared(source[0])
