"""JSON objects in files, such as a verdict: read by programs and by people."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from cae_core.errors import VerdictError

__all__ = ["read_record", "readable_json"]


def read_record(path: Path) -> dict[str, Any]:
    """Read one JSON object, such as a verdict's.

    Raises:
        VerdictError: no such file, or no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise VerdictError(f"{path}: cannot be read ({error.strerror}). Give an existing JSON file.") from error
    except (ValueError, RecursionError) as error:
        raise VerdictError(f"{path}: this is not JSON ({error}). Give the file that the command wrote.") from error
    if not isinstance(value, dict):
        raise VerdictError(f"{path}: this is not a JSON object. Give the file that the command wrote.")
    return cast("dict[str, Any]", value)


def readable_json(record: Mapping[str, Any]) -> bytes:
    """Return ``record`` as people read it: indented, and with a line's end."""
    return (json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
