"""Conversions between frameworks; each checks its own numerical parity."""
