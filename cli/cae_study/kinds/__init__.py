"""What steps of each kind do, one module a kind; the list is `table`."""
