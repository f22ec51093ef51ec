"""What holds for all tests: neither chance nor a busy machine decides one; time is measured in benchmarks."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)  # `make fuzz` looks for what nobody has seen
settings.load_profile("repeatable")
