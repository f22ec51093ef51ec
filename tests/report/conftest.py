"""The command line and the small pool of its tests, for reports of what it wrote."""

from tests.cli.conftest import fingerprint, pool, run_cae

__all__ = ["fingerprint", "pool", "run_cae"]
