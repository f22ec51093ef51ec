"""Control sources: models made by the claimed source's own recipe, each with a fingerprint of its own.

Their examples travel in the fingerprint's file, as images of the kind `cae_core.fingerprint.kinds.CONTROL`: n of the
first of m sources, then n of the second, and so on. What the generation says of each source stands under ``controls``;
both are part of the fingerprint's id. A suspect that derives from none of the m + 1 sources cannot tell which of them
is claimed.
"""

from collections.abc import Mapping
from typing import Any

from cae_core.files.fields import read_field

__all__ = ["CONTROLS", "described_controls"]

CONTROLS = "controls"
"""Where a generation describes them."""


def described_controls(generation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a fingerprint's generation says of each control source; empty where it has none.

    Each has the ``name`` and ``sha256`` of its file, the id of its own ``fingerprint``, and its ``surrogates``.

    Raises:
        OptionError: it is no list of tables.
    """
    found: list[dict[str, Any]] = read_field(generation, CONTROLS, list[dict[str, Any]], [])
    return found
