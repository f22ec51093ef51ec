"""Any white box as an estimator of the Adversarial Robustness Toolbox (ART), so that its attacks run on it.

Importing this package does not import ART; `as_estimator` does. The extra is ``art``.
"""

from typing import TYPE_CHECKING

from cae_core.errors import BackendMissing, first_line
from cae_core.models import DifferentiableModel

if TYPE_CHECKING:
    from cae_backends.art.estimator import PullbackClassifier

__all__ = ["as_estimator"]


def as_estimator(model: DifferentiableModel, *, classes: int, shape: tuple[int, int, int]) -> "PullbackClassifier":
    """Return ``model`` as a classifier of ART with loss and class gradients.

    Args:
        model: white box; float32 images (n, h, w, k) in [0, 1].
        classes: c.
        shape: of an image, (h, w, k).

    Raises:
        BackendMissing: ART is not installed.
    """
    try:
        from cae_backends.art.estimator import PullbackClassifier
    except ImportError as error:
        raise BackendMissing(
            f"The Adversarial Robustness Toolbox cannot be imported ({first_line(error)}). "
            "Install the extra: pip install 'cae-fingerprint[art]'."
        ) from error
    return PullbackClassifier(model, classes=classes, shape=shape)
