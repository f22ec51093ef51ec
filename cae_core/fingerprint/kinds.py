"""The kinds of images that a fingerprint carries, one row each.

Whatever asks, sorts, stores, counts or words them reads these rows. A further kind is a row here, and the file that
says what its answers show (`cae_core.verification.findings`).
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["BENIGN", "CONTROL", "EXAMPLE", "FURTHER", "KINDS", "SOURCE_ERROR", "ImageKind"]


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """One kind of image.

    Attributes:
        name: in records, ledgers and generations; it never changes.
        prefix: of its tensors in the file, ``{prefix}images`` and ``{prefix}labels``.
        role: what an answer is for. It *decides*: it counts in the score. It *checks* that the suspect is asked as it
            is used to. It *informs*: it is shown and decides nothing, and is the first that a budget leaves out.
        words: what a number of its queries is called after the number.
        in_full: the same where nothing else says that the images are benign.
    """

    name: str
    prefix: str
    role: Literal["decides", "checks", "informs"]
    words: str
    in_full: str


EXAMPLE = ImageKind(name="fingerprint", prefix="", role="decides", words="fingerprint", in_full="fingerprint")
"""A conferrable adversarial example; its label is the source's."""

BENIGN = ImageKind(name="benign", prefix="probe_", role="checks", words="benign", in_full="benign")
"""A benign probe; its label is the ground truth."""

SOURCE_ERROR = ImageKind(
    name="akh",
    prefix="akh_",
    role="informs",
    words="that the source gets wrong",
    in_full="benign that the source gets wrong",
)
"""A benign image that the source gets wrong; its label is the wrong one (`cae_core.generation.source_errors`)."""

CONTROL = ImageKind(
    name="control", prefix="control_", role="decides", words="for control sources", in_full="for control sources"
)
"""A conferrable adversarial example of a control source; its label is that source's (`cae_core.fingerprint.controls`).

It is asked where the calibration declares a null hypothesis that ranks sources.
"""

KINDS = (EXAMPLE, BENIGN, SOURCE_ERROR, CONTROL)
"""All kinds, in the order of their rows."""

FURTHER = tuple(kind for kind in KINDS if kind not in (EXAMPLE, BENIGN))
"""The kinds that a fingerprint may lack."""
