"""`cae` with a clock: ``verify_stages.py verify ...`` tells on stderr the CPU milliseconds of each stage, as JSON.

Of a suspect that is trusted, whose work is done in this process.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

_STAGES: dict[str, float] = {}
_LAST = [0.0]


def _mark(stage: str) -> None:
    now = time.process_time()
    _STAGES[stage] = _STAGES.get(stage, 0.0) + 1000 * (now - _LAST[0])
    _LAST[0] = now


def _clock(module: Any, name: str, stage: str) -> None:  # noqa: ANN401 - a module
    """Count what ``module.name`` takes as ``stage``, and what came before it as the command line's."""
    wrapped: Callable[..., Any] = getattr(module, name)

    def clocked(*given: object, **options: object) -> object:
        _mark("parsing the command line, and the rest")
        found = wrapped(*given, **options)
        _mark(stage)
        return found

    setattr(module, name, clocked)


def main() -> None:
    """Run the command with a clock in it."""
    _mark("the interpreter")
    import numpy as np  # noqa: F401 - imported on its own, so that it is counted on its own

    _mark("importing NumPy")
    import typer  # noqa: F401

    _mark("importing typer")
    from cae_cli import main as cae

    _mark("importing the command line")
    from cae_cli.commands import verify as command
    from cae_core import workflows
    from cae_core.opening import party
    from cae_core.verification import verdict

    _mark("importing the core")
    import onnxruntime  # noqa: F401

    _mark("importing ONNX Runtime")
    _clock(workflows, "load_calibrated", "reading and hashing the fingerprint")
    _clock(party, "open_black_box", "finding the backend and opening the suspect")
    _clock(verdict.Suspect, "of", "hashing the suspect")
    _clock(workflows, "verify", "asking and deciding")
    _clock(command, "print_json", "printing")
    try:
        cae.main()
    finally:
        _mark("parsing the command line, and the rest")
        sys.stderr.write(json.dumps(_STAGES) + "\n")


if __name__ == "__main__":
    main()
