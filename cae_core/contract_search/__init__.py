"""Finding a model's contract by its accuracy on labelled images: candidates, their elimination, and what is written."""
