"""What stood around a model while it answered, as a verdict records it."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

__all__ = [
    "ADDRESS",
    "LANDLOCK",
    "NETWORK",
    "OWN",
    "OWN_CODE",
    "SECCOMP",
    "UNCONTAINED",
    "Containment",
    "ContainmentKind",
    "recorded_containment",
]

ContainmentKind: TypeAlias = Literal["sandbox", "limits", "none"]

_LONGEST = 100

SECCOMP, LANDLOCK = "seccomp", "landlock"
"""The two layers without which nothing is called a sandbox: the one refuses system calls, the other files."""


NETWORK = "network for a client"
"""Said beside them of a process that asks a service: it has sockets, and nothing of the suspect's runs there."""


@dataclass(frozen=True, kw_only=True)
class Containment:
    """Whether a model ran in a process of its own, and what that process could not do.

    Attributes:
        child: whether it was a process of its own.
        layers: which layers were active, by name, see docs/containment.md.
        reason: why there was no process of its own; empty where there was one.
    """

    child: bool
    layers: tuple[str, ...] = ()
    reason: str = ""

    @property
    def kind(self) -> ContainmentKind:
        """``sandbox`` only where system calls and files were both refused; ``limits`` for less; ``none``."""
        if not self.child:
            return "none"
        return "sandbox" if {SECCOMP, LANDLOCK} <= set(self.layers) else "limits"

    @property
    def words(self) -> str:
        """One line for people."""
        if not self.child:
            return f"none: {self.reason}"
        if NETWORK in self.layers:
            return _CLIENT_WORDS[self.kind]
        return _WORDS[self.kind]

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as a verdict's record holds it."""
        return {"kind": self.kind, "child": self.child, "layers": self.layers, "reason": self.reason}


_WORDS = {
    "sandbox": "sandbox: a process of its own, without network, other files and other processes",
    "limits": "limits: a process of its own, with limits of time and memory alone",
}

_CLIENT_WORDS = {
    "sandbox": "a client in a process of its own, with the network, without other files and other processes",
    "limits": "a client in a process of its own, with limits of time and memory alone",
}

UNCONTAINED = Containment(child=False, reason="the model was opened by its caller")
"""Of a model that was handed over as an object."""

OWN = Containment(child=False, reason="its user says that the file is his own")
"""Of a model that is trusted."""

OWN_CODE = Containment(child=False, reason="it is its user's own code, named on the command line")
"""Of a model that is made, or answered for, by code that the user named."""

ADDRESS = Containment(child=False, reason="it is asked at its address; nothing of it runs here")
"""Of a model that a service answers for."""


def recorded_containment(value: object) -> Containment | None:
    """Return what a verdict's record says; None where it says nothing, as those of earlier releases.

    Raises:
        ValueError: it says what no verdict says.
    """
    if value is None:
        return None
    told = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    given: object = told.get("layers")
    layers = cast("list[object]", given) if isinstance(given, list) else [given]
    if not (
        all(map(_is_word, layers))
        and isinstance(given, list)
        and isinstance(told.get("child"), bool)
        and _is_word(told.get("reason"))
    ):
        raise ValueError("'containment' should hold 'child', 'layers' and 'reason', or be null")
    found = Containment(child=told["child"], layers=tuple(map(str, layers)), reason=told["reason"])
    if told.get("kind") != found.kind:
        raise ValueError(f"'containment' says another kind than its layers, which are {found.kind}")
    return found


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST
