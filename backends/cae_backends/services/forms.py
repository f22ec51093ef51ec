"""The three forms of request and answer: what is posted for some images, and what their answers are.

Open Inference Protocol v2 (KServe's specification of ``infer``, JSON without the binary extension), TensorFlow
Serving's REST API (``predict``, row format), and a template of JSON with a JMESPath.
"""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from cae_backends.services.description import Description
from cae_backends.services.template import Template
from cae_core.arrays import Images
from cae_core.contract import Contract
from cae_core.errors import BackendMissing, ModelError, OptionError, quoted
from cae_core.models import Predictions

__all__ = ["Wire", "wire_of"]

_DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "float64": "FP64",
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}

_KINDS = {"label": "labels", "top": "labels"}


class Wire(Protocol):
    """How images and answers are written."""

    def body(self, images: Images) -> Any:  # noqa: ANN401 - what JSON can hold
        """Return what is posted for ``images`` (n, h, w, k)."""
        ...

    def answers(self, told: Any, count: int) -> Predictions:  # noqa: ANN401 - what JSON can hold
        """Return the answers to ``count`` images in what came back.

        Raises:
            ModelError: it holds none, or another number.
        """
        ...

    def version(self, told: Any) -> str:  # noqa: ANN401 - what JSON can hold
        """Return the model's version, as what came back says it; empty where it does not."""
        ...


def wire_of(service: Description) -> Wire:
    """Return how a service is written to.

    Raises:
        BackendMissing: JMESPath is not installed.
        OptionError: the template or the path is none.
    """
    if service.form == "open-inference":
        return _OpenInference(service.contract)
    if service.form == "tensorflow-serving":
        return _TensorFlowServing(service.contract)
    return _Json(service)


class _OpenInference:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def body(self, images: Images) -> Any:  # noqa: ANN401
        tensor = self._contract.to_input(images)
        described = {
            "name": self._contract.input or "input",
            "shape": list(tensor.shape),
            "datatype": _DATATYPES[tensor.dtype.name],
            "data": _flat(tensor),
        }
        return {"inputs": [described]}

    def answers(self, told: Any, count: int) -> Predictions:  # noqa: ANN401
        outputs = [cast("dict[str, Any]", x) for x in _list(_field(told, "outputs")) if isinstance(x, dict)]
        wanted = self._contract.output_name
        found = [output for output in outputs if wanted is None or output.get("name") == wanted]
        if len(found) != 1:
            names = ", ".join(quoted(output.get("name")) for output in outputs[:10])
            raise ModelError(
                f"the service answers the outputs {names}, and one is meant. Name it in the contract: "
                'output_name = "…".'
            )
        flat, shape = _list(_field(found[0], "data")), _list(_field(found[0], "shape"))
        if not shape or shape[0] != count or not all(isinstance(x, int) and x > 0 for x in shape):
            raise ModelError(f"the service answers a tensor {quoted(shape)} to {count} images.")
        return _predictions(self._contract, _nested(flat, count), count)

    def version(self, told: Any) -> str:  # noqa: ANN401
        return _text(cast("dict[str, Any]", told).get("model_version")) if isinstance(told, dict) else ""


class _TensorFlowServing:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def body(self, images: Images) -> Any:  # noqa: ANN401
        from cae_backends.services.pictures import as_numbers

        rows, name = as_numbers(self._contract.to_input(images)), self._contract.input
        return {"instances": rows if name is None else [{name: row} for row in rows]}

    def answers(self, told: Any, count: int) -> Predictions:  # noqa: ANN401
        rows, name = _list(_field(told, "predictions")), self._contract.output_name
        if name is not None:
            rows = [_field(row, name) if isinstance(row, dict) else row for row in rows]
        if rows and isinstance(rows[0], dict):
            names = ", ".join(map(quoted, sorted(cast("dict[str, Any]", rows[0]))[:10]))
            raise ModelError(f"the service answers the outputs {names}. Name one in the contract: output_name = …")
        return _predictions(self._contract, rows, count)

    def version(self, told: Any) -> str:  # noqa: ANN401, ARG002 - its answers do not say it
        return ""


class _Json:
    def __init__(self, service: Description) -> None:
        try:
            import jmespath
        except ImportError as error:
            raise BackendMissing(
                "A described service takes JMESPath: pip install 'cae-fingerprint[services]'."
            ) from error
        try:
            self._path = jmespath.compile(service.answer)
        except Exception as error:
            raise OptionError(f"answer is no JMESPath: {quoted(service.answer)}.") from error
        self._contract, self._many, self._kind = service.contract, service.images > 1, service.kind
        if (service.contract.output == "labels") != (service.kind in _KINDS):
            raise OptionError(
                f'kind = "{service.kind}" and the contract\'s output = "{service.contract.output}" do not go together: '
                'a label, a name and the top ones are "labels".'
            )
        self._template = Template(service.body, many=self._many)

    def body(self, images: Images) -> Any:  # noqa: ANN401
        return self._template.filled(self._contract.to_input(images))

    def answers(self, told: Any, count: int) -> Predictions:  # noqa: ANN401
        found = self._path.search(told)
        rows = _list(found) if self._many else [found]
        if self._kind == "top":
            rows = [_best(row) for row in rows]
        return _predictions(self._contract, rows, count)

    def version(self, told: Any) -> str:  # noqa: ANN401, ARG002 - nobody says where it stands
        return ""


def _best(row: Any) -> Any:  # noqa: ANN401
    """Return the name or label of the largest score among pairs ``[name, score]`` or objects of two fields."""
    pairs = [list(cast("dict[str, Any]", x).values()) if isinstance(x, dict) else x for x in _list(row)]
    scored: list[tuple[float, Any]] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ModelError(f"the service must answer pairs of name and score; found {quoted(pair)}.")
        first, second = pair
        name, score = (second, first) if isinstance(first, float) and not isinstance(second, float) else (first, second)
        if not isinstance(score, int | float) or isinstance(score, bool):
            raise ModelError(f"the service must answer pairs of name and score; found {quoted(pair)}.")
        scored.append((float(score), name))
    if not scored:
        raise ModelError("the service answers no name at all.")
    return max(scored, key=lambda x: x[0])[1]


def _predictions(contract: Contract, rows: list[Any], count: int) -> Predictions:
    if len(rows) != count:
        raise ModelError(f"the service answers {len(rows)} images, and was asked {count}.")
    if contract.output == "labels":
        return contract.to_predictions(_labels(rows))
    scores = _numbers(rows)
    if scores.ndim != 2:
        raise ModelError(
            f"the service must answer a row of scores to each image, and answers {quoted(rows[0])}. If these are "
            'labels, say so in the contract: output = "labels".'
        )
    return contract.to_predictions(scores)


def _labels(rows: list[Any]) -> NDArray[Any]:
    flat = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    if all(isinstance(x, str) for x in flat):
        return np.array(flat, object)
    whole = [int(x) if isinstance(x, float) and x.is_integer() else x for x in flat]
    if not all(isinstance(x, int) and not isinstance(x, bool) and abs(x) < 1 << 31 for x in whole):
        raise ModelError(f"the service must answer a label or a name to each image; found {quoted(flat[0])}.")
    return np.array(whole, np.int64)


def _numbers(rows: list[Any]) -> NDArray[np.float32]:
    """Return rows of numbers; null is no number and becomes NaN, which is no answer."""
    for row in rows:
        values = row if isinstance(row, list) else []
        if not values or not all(x is None or (isinstance(x, int | float) and not isinstance(x, bool)) for x in values):
            return np.zeros(0, np.float32)
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise ModelError(f"the service answers rows of {min(widths)} and of {max(widths)} scores.")
    with np.errstate(over="ignore"):
        return np.array([[_number(x) for x in row] for row in rows], np.float64).astype(np.float32)


def _number(value: float | None) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return np.inf


def _nested(flat: list[Any], count: int) -> list[Any]:
    """Return ``count`` rows of a flat list; lists that are nested already are taken as they are."""
    if len(flat) == count:
        return flat if isinstance(flat[0], list) else [[x] for x in flat]
    if not flat or len(flat) % count:
        raise ModelError(f"the service answers {len(flat)} numbers to {count} images.")
    width = len(flat) // count
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _flat(tensor: NDArray[Any]) -> list[Any]:
    from cae_backends.services.pictures import as_numbers

    return cast("list[Any]", as_numbers(tensor.reshape(-1)))


def _field(told: Any, name: str) -> Any:  # noqa: ANN401
    if not isinstance(told, Mapping) or name not in told:
        raise ModelError(f"the service's answer has no {quoted(name)}.")
    return cast("Mapping[str, Any]", told)[name]


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    if not isinstance(value, list):
        raise ModelError(f"the service must answer a list; found {quoted(value)}.")
    return value


def _text(value: object) -> str:
    return str(value)[:200] if isinstance(value, str | int) else ""
