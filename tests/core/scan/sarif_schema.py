"""Whether a log is SARIF 2.1.0, by the standard's own schema."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

__all__ = ["faults_of"]


@cache
def _validator() -> Any:  # noqa: ANN401 - of a package without types
    schema = json.loads(Path(__file__).with_name("sarif-2.1.0.json").read_text())
    return jsonschema.Draft4Validator(schema)


def faults_of(log: object) -> list[str]:
    """Return what is wrong with it, a sentence each, with the place."""
    return [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(log)]
