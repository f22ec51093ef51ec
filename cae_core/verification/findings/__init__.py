"""What an examination shows for information: each finding is one file, and one line in `findings.table`."""
