from collections.abc import Iterator
from pathlib import Path

import pytest

from cae_core import loaders
from tests.core.containment import hostile


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for models that are programs; their backend is installed."""
    backend, models = tmp_path / "backend", tmp_path / "models"
    backend.mkdir()
    models.mkdir()
    hostile.install(backend, monkeypatch)
    yield models
    loaders._entry_points.cache_clear()
