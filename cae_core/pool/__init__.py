"""The pool: its manifest, its members, their roles, and whether two of them are one model."""
