"""References that are no neural networks: classifiers of scikit-learn, by name."""

from collections.abc import Callable
from typing import Any

from cae_backends.training.kinds.record import Estimator
from cae_core.arrays import as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import BackendMissing, OptionError

__all__ = ["ESTIMATORS", "SCIKIT_LEARN", "fit_estimator"]


def _svc(seed: int) -> Any:  # noqa: ANN401 - scikit-learn publishes no types
    from sklearn.svm import SVC

    return SVC(C=10.0, gamma="scale", random_state=seed)


def _forest(seed: int) -> Any:  # noqa: ANN401
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=200, n_jobs=1, random_state=seed)


ESTIMATORS: dict[str, Callable[[int], Any]] = {"svc-rbf": _svc, "random-forest": _forest}
"""Name -> an unfitted estimator with that seed."""


def fit_estimator(data: ImageSet, test: ImageSet, name: str, seed: int) -> tuple[Any, float]:
    """Train an estimator on ``data``, as vectors (n, h·w·k) in [0, 1], and return it with its accuracy on ``test``.

    Raises:
        OptionError: the name is unknown.
        BackendMissing: scikit-learn is not installed.
    """
    if name not in ESTIMATORS:
        raise OptionError(f"Unknown estimator {name!r}; known are {', '.join(ESTIMATORS)}.")
    try:
        estimator = ESTIMATORS[name](seed)
    except ImportError as error:
        message = "A scikit-learn reference needs the extra 'digits': pip install 'cae-fingerprint[digits]'."
        raise BackendMissing(message) from error
    estimator.fit(as_unit_float(data.images).reshape(len(data), -1), data.labels)
    score = estimator.score(as_unit_float(test.images).reshape(len(test), -1), test.labels)
    return estimator, float(score)


SCIKIT_LEARN = Estimator(
    name="scikit-learn",
    architectures=tuple(ESTIMATORS),
    make=fit_estimator,
    exporter="sklearn",
    how=f"no network, but a classifier of scikit-learn: {', '.join(f'`{name}`' for name in ESTIMATORS)}",
)
