"""A backend and a theft for cae-fingerprint."""
