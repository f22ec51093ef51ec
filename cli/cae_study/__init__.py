"""Whole experiments as data: a study file names pools, fingerprints and what is measured, and everything else follows.

`study_file` reads one, `plan` puts its steps in order and names each by its inputs, `run` does what is missing, and
`results` writes tables, figures and a page. What a step does stands in `kinds`.
"""
