"""Everything that the program prints or writes about a verdict, byte for byte.

Each case is a few commands, run in this process on models whose answers are whole numbers; what they print and write
is compared with a text in ``expected``. `python -m tests.golden` writes these texts anew: the change of a golden is
then a change of the program's output, to be read line by line before it is committed.
"""
