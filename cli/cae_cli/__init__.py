"""The command `cae`: parse, call the library, render."""
