"""The one type that the calls of this project take for a path."""

import os
from typing import TypeAlias

__all__ = ["StrPath"]

StrPath: TypeAlias = str | os.PathLike[str]
"""A path as a text or as an object that has one, such as `pathlib.Path`."""
