"""kill -9 of every command at random and at chosen moments: ``python -m tests.kills``."""
