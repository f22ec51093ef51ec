"""A service on loopback, and what describes it."""

from collections.abc import Iterator

import pytest

from tests.backends.services.service import Serving, serving


@pytest.fixture
def served() -> Iterator[Serving]:
    with serving() as state:
        yield state
