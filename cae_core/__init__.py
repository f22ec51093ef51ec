"""Conferrable adversarial examples: decide whether a suspect classifier is derived from a source model.

The method alone, over NumPy arrays and a `Model` protocol; it knows no framework. See `cae_backends` for those.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
