"""What is said of the examples of a fingerprint: of which kinds they are, and what is odd about them."""

from typing import TYPE_CHECKING

from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_core.fingerprint.file import Fingerprint
    from cae_core.generation.settings import GenerationSettings

__all__ = ["crowded_label", "kinds_in_words", "lacking_kinds"]

_MANY = 10
"""Examples, from which on half of one label is odd."""


def kinds_in_words(fingerprint: "Fingerprint") -> str:
    """Return how many examples of each kind there are, and what each is."""
    from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS, count_example_kinds

    counts, words = count_example_kinds(fingerprint.example_kinds), {kind.name: kind.words for kind in EXAMPLE_KINDS}
    return "; ".join(f"{count} {name}: {words[name]}" for name, count in counts.items())


def lacking_kinds(fingerprint: "Fingerprint", settings: "GenerationSettings") -> str:
    """Return a sentence on the kinds of which there were fewer than wanted; empty: none."""
    from cae_core.fingerprint.example_kinds import count_example_kinds

    found = count_example_kinds(fingerprint.example_kinds)
    lacking = [
        f"{found.get(kind.name, 0)} of {count} {kind.name}"
        for kind, count in settings.wanted().items()
        if found.get(kind.name, 0) < count
    ]
    if not lacking or len(fingerprint) < settings.count:
        return ""
    return f"Too few images were good enough: {', '.join(lacking)}. Examples of the other kinds took their places."


def crowded_label(fingerprint: "Fingerprint") -> str:
    """Return a sentence on the label that half of the examples have; empty: none has."""
    import numpy as np

    counts = np.bincount(fingerprint.labels, minlength=len(fingerprint.class_names))
    label, most = int(counts.argmax()), int(counts.max())
    if len(fingerprint) < _MANY or len(counts) == 2 or 2 * most < len(fingerprint):
        return ""
    return (
        f"{most} of {len(fingerprint)} examples have the label {visible(fingerprint.class_names[label])}: a model that "
        "likes it matches them by chance. Give a quota (--label-quota 0.33), or more data."
    )
