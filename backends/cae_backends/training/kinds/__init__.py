"""The kinds of members: each is a record, and stands in one file with the function that makes such members.

`answers` and `queries` hold the thefts that need a source's answers only, `copies`, `erasure` and `unlearning` those
that start from its weights, `scratch` and `estimators` what owes it nothing; `chains` puts two of them one after the
other. `table` lists them all.
"""
