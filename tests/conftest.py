"""What holds for all tests: neither chance nor a busy machine decides one; time is measured in benchmarks."""

import gc

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)  # `make fuzz` looks for what nobody has seen
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Keep what is imported by now, two frameworks, out of every later collection of garbage: a sixth of the time."""
    gc.collect()
    gc.freeze()
