"""The figures of a study, one module a kind; the list is `table`."""
