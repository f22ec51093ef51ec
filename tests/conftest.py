"""What holds for all tests: neither chance nor a busy machine decides one; time is measured in benchmarks."""

import gc
import secrets
from random import Random

import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)  # `make fuzz` looks for what nobody has seen
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process draw nonces, salts and names that only the test's name decides."""
    random = Random(request.node.nodeid)  # noqa: S311 - repeatable
    monkeypatch.setattr(secrets, "token_bytes", lambda count=None: random.randbytes(32 if count is None else count))


def pytest_collection_finish() -> None:
    """Keep what is imported by now, two frameworks, out of every later collection of garbage: a sixth of the time."""
    gc.collect()
    gc.freeze()
