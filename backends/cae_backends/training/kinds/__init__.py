"""The kinds of members: each is a record, and stands in one file with the function that makes such members.

`answers` holds the thefts that need a source's answers only, `copies` those that start from its weights, `scratch` and
`estimators` what owes it nothing. `table` lists them all; whoever adds a theft adds it to one of the first two files.
"""
