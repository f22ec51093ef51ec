"""What is done with a model file, whatever its form: opened, asked, and asked for its gradients where it has some."""

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.contract import read_contract
from cae_core.opening.opened import open_black_box, open_white_box
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from tests.core.toys import toy_fingerprint

__all__ = ["CLASSES", "SHAPE", "Models", "can_contain"]

_PARTY = "cae_core.opening.party"

SHAPE, CLASSES = (4, 4, 1), 10


def can_contain() -> bool:
    """Return whether this release opens models in a child of the process."""
    return importlib.util.find_spec(_PARTY) is not None


def _subject() -> CalibratedFingerprint:
    """Return a fingerprint that suspects are asked by, of images (4, 4, 1) in ten classes."""
    return CalibratedFingerprint(fingerprint=toy_fingerprint(n=10, probes=20))


@dataclass(frozen=True)
class Models:
    """Valid models, and what is done with edited ones.

    Attributes:
        files: the valid ones' bytes, by name.
        folder: where they lie.
        contract: of those that carry none.
        contained: whether they are opened in a child of the process, as the product opens a stranger's.
    """

    files: dict[str, bytes]
    folder: Path
    contract: str = ""
    contained: bool = False
    subject: CalibratedFingerprint = field(default_factory=_subject)

    def asked(self, path: Path) -> None:
        """Verify a suspect."""
        with self._party() as party:
            opened = party.black_box if party else _trusted_black_box
            model = opened(str(path), contract=self._given()).model
            verify(model, self.subject, named=Suspect(name="suspect", sha256="00" * 32), nonce=bytes(16))

    def differentiated(self, path: Path) -> None:
        """Open a white box, which holds it against its file, and pull a gradient back."""
        images = self.subject.fingerprint.images[:3]
        with self._party() as party:
            opened = party.white_box if party else _trusted_white_box
            model = opened(str(path), contract=self._given()).model
            model.predict(images)
            logits, pull_back = model.vjp(images.astype(np.float32) / 255)
            pull_back(np.ones_like(logits))

    def _given(self) -> Any:  # noqa: ANN401 - a Contract or None
        return read_contract(self.contract) if self.contract else None

    @contextmanager
    def _party(self) -> Iterator[Any]:
        if not self.contained:
            yield None
            return
        party = importlib.import_module(_PARTY).Party(device="cpu")
        try:
            yield party
        finally:
            party.end()


def _trusted_black_box(spec: str, **given: Any) -> Any:  # noqa: ANN401 - an Opened
    return open_black_box(spec, device="cpu", trusted=True, **given)


def _trusted_white_box(spec: str, **given: Any) -> Any:  # noqa: ANN401 - an Opened
    return open_white_box(spec, device="cpu", trusted=True, **given)
