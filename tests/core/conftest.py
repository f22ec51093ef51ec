"""Fixtures that several tests of the core share."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.generation.generate import GenerationResult, generate
from tests.core.toys import PROVENANCE, World, make_world, quick_settings, toy_fingerprint

collect_ignore = (
    []
    if find_spec("torch")
    else ["method/test_adam.py", "statistics/test_roc.py", "test_resize.py", "verification/test_recorded.py"]
)
"""Whose oracle is a framework: `make test-core` has none."""


@pytest.fixture(scope="session")
def world() -> World:
    """Return four classes, two surrogates, two references, 300 images."""
    return make_world()


@pytest.fixture(scope="session")
def generated(world: World) -> GenerationResult:
    """Return an undisturbed generation with `quick_settings`."""
    return generate(world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE)


@pytest.fixture
def fingerprint() -> Fingerprint:
    """Return 20 examples and 60 probes of ten classes."""
    return toy_fingerprint()


@pytest.fixture
def fingerprint_file(fingerprint: Fingerprint, tmp_path: Path) -> Path:
    """Return the file of `fingerprint`."""
    path = tmp_path / "fingerprint.safetensors"
    save_fingerprint(fingerprint, path)
    return path
