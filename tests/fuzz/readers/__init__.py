"""One module for each family of files: how to make valid ones, how to edit them, and what reads them."""
