"""How a file becomes a model, and whether a white box is what its file says."""
