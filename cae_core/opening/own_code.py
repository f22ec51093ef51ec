"""Suspects that are their user's own code: named by him on the command line, run in his process, recorded so.

``torch:package.module:Class(args)=weights.pth`` makes a network, ``py:package.module:callable`` calls a function and
``cmd:program`` runs a program. Whoever may write such a name decides what runs here; so a list, a pool, a folder, a
plan or a seal, which may be another party's, never names one.
"""

from cae_core.errors import ModelError
from cae_core.foreign_text import visible

__all__ = ["OWN_CODE_SCHEMES", "check_own_code", "is_own_code"]

OWN_CODE_SCHEMES = ("torch", "py", "cmd")
"""What stands before the colon."""


def is_own_code(spec: str) -> bool:
    """Return whether opening ``spec`` runs code of the user's own.

    Example:
        >>> is_own_code("torch:nets:Net()=net.pth"), is_own_code("torch/net.onnx"), is_own_code("https://a.example")
        (True, False, False)
    """
    scheme, colon, _ = spec.partition(":")
    return bool(colon) and scheme in OWN_CODE_SCHEMES


def check_own_code(spec: str, *, named_by_user: bool) -> None:
    """Refuse code that somebody else than the user may have named.

    Args:
        spec: a path or ``scheme:...``.
        named_by_user: whether it stood on the command line, or in the call of a script of his.

    Raises:
        ModelError: it is such code, and was named elsewhere.
    """
    if is_own_code(spec) and not named_by_user:
        scheme = spec.partition(":")[0]
        raise ModelError(
            f"{visible(spec)}: {scheme}: runs code, so it is taken from the command line only (cae verify --suspect), "
            "and never from a list, pool, folder, plan or seal. Name a model file instead, such as an ONNX file."
        )
