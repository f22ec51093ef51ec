"""The outputs of ``--json``: each has a name, a definition in ``schema.json`` and the number of its format."""

from collections.abc import Mapping
from typing import Any, cast

from cae_core.files.records import as_json

__all__ = ["OUTPUTS", "numbered"]

OUTPUTS: Mapping[str, int] = {
    "calibrate": 1,
    "calibrate-plan": 1,
    "compare": 1,
    "compare-methods": 1,
    "contract": 1,
    "convert": 1,
    "demo": 1,
    "doctor": 1,
    "generate": 1,
    "generate-from-log": 1,
    "inspect": 1,
    "judge": 1,
    "pool": 1,
    "pool-train": 1,
    "queries": 1,
    "report": 1,
    "scan": 1,
    "seal": 1,
    "statement": 1,
    "study": 1,
    "study-list": 1,
    "study-plan": 1,
    "verify": 1,
    "verify-plan": 1,
}
"""The number of each output's format: it grows when a field goes or changes its meaning, not when one is added."""


def numbered(value: object, output: str) -> dict[str, Any]:
    """Return ``value`` as JSON holds it, with the number of its format first.

    Args:
        value: see `as_json`; it becomes an object.
        output: its name in `OUTPUTS`.

    Raises:
        KeyError: there is no such output.

    Example:
        >>> numbered({"images": 3}, "queries")
        {'format': 1, 'images': 3}
    """
    return {"format": OUTPUTS[output], **cast("dict[str, Any]", as_json(value))}
