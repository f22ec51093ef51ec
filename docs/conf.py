"""How Sphinx builds the site: `make docs`. It needs no network."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
for _part in ("docs/ext", "cli", "converters", "backends", "."):
    sys.path.insert(0, str(_ROOT / _part))

from cae_core import version as _release  # noqa: E402 - the path comes first

project = "cae"
author = "the maintainers of cae-fingerprint"
copyright = author  # noqa: A001 - Sphinx's own name
version = release = _release.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "cae_site"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
smartquotes = False  # two hyphens begin an option
exclude_patterns = ["ext"]
html_theme = "furo"
html_title = "cae: is this model a copy of mine?"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"

default_role = "literal"  # what stands between single backticks in a docstring is code
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", ".*"),  # types of other projects, whose references the site asks no network for, and of inner modules
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
