"""Fuzzing: every reader of a foreign file is given many broken ones, and may refuse or accept each, but nothing else.

``python -m tests.fuzz`` runs it and prints a table; ``python -m tests.fuzz READER --seed N --case K`` repeats one case.
The seed decides every case. Files are valid ones that were edited beyond the outer parse (ids, digests, checksums and
directories fit again) or in their bytes. They are read in a process of its own, under a watch for time and memory.
"""
