"""Our code against careful baselines, side by side in one run: ``python -m tests.benchmarks``."""
