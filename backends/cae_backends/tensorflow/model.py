"""A frozen TensorFlow graph as a `DifferentiableModel`."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cae_backends.batches import images_at_once, padded
from cae_backends.contract_files import check_end, check_rank, image_shape
from cae_backends.tensorflow.endings import ends_in_softmax, without_softmax
from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.programs import Linearised, Program, compile_answer, linearise
from cae_backends.tensorflow.quantised import computes_in_int8
from cae_backends.tensorflow.runtime import exact_float32, load_tensorflow, resolve_device
from cae_backends.tensorflow.tracing import trace_keras
from cae_backends.tensorflow.witness import KerasWitness
from cae_core.arrays import Floats32, Images, check_images
from cae_core.contract import Contract, Task, fitted
from cae_core.errors import CaeError, ContractError, ModelError, first_line
from cae_core.loaders import Device
from cae_core.models import Predictions, Pullback

__all__ = ["TensorflowModel"]


class TensorflowModel:
    """A Keras model or SavedModel and its contract, its variables frozen into constants.

    Where the contract says probabilities, the logits are those before the softmax at the graph's end, else the
    logarithms of the probabilities, clamped at 1e-30.

    Args:
        graph: from `cae_backends.tensorflow.frozen.freeze`.
        contract: what the graph takes and answers.
        device: ``"auto"`` (a GPU where one is usable), ``"cpu"``, ``"cuda"`` or ``"cuda:i"``.
        origin: what the model is called in messages.
        witness: another implementation of the same file; None: there is none.

    Attributes:
        contract: what this model takes and answers.
        witness: see above.
        runtime: what answers, such as ``"tensorflow 2.21.0"``.

    Raises:
        ContractError: the contract does not fit the graph's input or its end.
        ModelError: there is no such device.
    """

    def __init__(
        self,
        graph: FrozenGraph,
        *,
        contract: Contract,
        device: Device = "auto",
        origin: str = "The model",
        witness: KerasWitness | None = None,
    ) -> None:
        self._graph = graph
        self._check(contract, origin)
        bare = without_softmax(graph)
        self.contract, self.witness = contract, witness
        self.runtime = f"tensorflow {load_tensorflow().__version__}"
        self._origin, self._shape = origin, graph.shape
        self._device = resolve_device(device)
        self._told = Program(graph, logarithm=False)
        self._logits = Program(bare or graph, logarithm=bare is None and contract.output == "probabilities")
        self._quantised = computes_in_int8(graph)
        self._answer: Callable[[Any], Any] | None = None
        self._linearised: Linearised | None = None

    @classmethod
    def from_keras(cls, model: Any, *, contract: Contract, device: Device = "auto") -> Self:  # noqa: ANN401
        """Wrap a Keras model as it answers in inference; later changes of its weights have no effect.

        Raises:
            ModelError: it has several inputs or outputs, or nobody says what shape it takes.
            ContractError: see the class.
        """
        graph = trace_keras(model, contract=contract, origin=model.name)
        witness = KerasWitness(lambda: model, contract=contract, resolution=graph.resolution, origin=model.name)
        return cls(graph, contract=contract, device=device, origin=model.name, witness=witness)

    def by_contract(self, contract: Contract, task: Task | None = None) -> "TensorflowModel":
        """Return this model as it is asked by another contract, as a black box; see the class for what is refused."""
        contract = contract.for_task(task)
        self._check(contract, self._origin)
        other = copy.copy(self)
        if other._answer is None:
            self._answer = other._answer = compile_answer(self._told)
        other.contract, other.witness = contract, None
        return other

    def _check(self, contract: Contract, origin: str) -> None:
        _check_input(self._graph, contract, origin)
        check_end(contract, softmax=ends_in_softmax(self._graph), origin=origin)

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None]:
        """(h, w, k) of the canonical images that the graph takes; None: any."""
        return image_shape(self.contract, self._shape)

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k), in batches of bounded size.

        A row that is not finite is `cae_core.models.NO_ANSWER`.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the contract.
            ModelError: the model fails or does not answer (n, c).
        """
        check_images(images)
        step = self._fixed_batch or images_at_once(self.contract, images.shape)
        starts = range(0, max(len(images), 1), step)
        with self._running():
            parts = [self._ask(images[start : start + step]) for start in starts]
        return self.contract.to_predictions(np.concatenate(parts)[: len(images)])

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """Return logits (n, c) and their pullback, (n, c) -> (n, h, w, k); see `DifferentiableModel.vjp`.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the contract.
            ModelError: the model answers labels, takes integers, fails, or cannot be differentiated.
        """
        self._check_differentiable()
        shape = check_images(images).shape
        with self._running():
            if self._linearised is None:
                self._linearised = linearise(self._logits, origin=self._origin)
            backward = self._linearised.backward
            x = self._upload(images)
            scores, residuals = self._linearised.forward(x)
            raw = self._raw(scores, len(x))
        if raw.shape[1] == 1:
            raise ModelError(
                f"{self._origin}: the model answers one score an image, and a white box has one for each class. Export "
                "it with the two outputs 1 - p and p."
            )
        logits = self.contract.to_canonical(raw[: shape[0]].copy())

        def pull_back(gradient: Floats32) -> Floats32:
            if gradient.shape != logits.shape:
                raise ModelError(f"The gradient must have the logits' shape {logits.shape}; found {gradient.shape}.")
            upstream = np.zeros(raw.shape, np.float32)  # it has a row where there is no image
            upstream[: shape[0]] = self.contract.from_canonical(np.asarray(gradient, np.float32), raw.shape[1])
            with self._running():
                pulled = backward(load_tensorflow().constant(upstream), *residuals).numpy()
            return self.contract.pull_back(pulled[: shape[0]], shape)

        return logits, pull_back

    def _ask(self, images: Images) -> NDArray[Any]:
        if self._answer is None:
            self._answer = compile_answer(self._told)
        x = self._upload(images)
        return self._raw(self._answer(x), len(x))[: max(1, len(images))]

    @property
    def _fixed_batch(self) -> int | None:
        return self._shape[0] if self._shape else None

    def _upload(self, images: Images) -> Any:  # noqa: ANN401 - a tensor
        # Few graphs run on no image, so one is added; the caller takes its answer away.
        taken: Images = images if len(images) else np.zeros((1, *images.shape[1:]), np.uint8)
        x = self.contract.to_input(taken)
        x = padded(x, self._fixed_batch or len(x))
        wanted = self._shape[1:]
        shape = fitted(self.contract.layout, x.shape[1:], wanted) if self._shape else x.shape[1:]
        if shape is None:
            expected = ", ".join("any" if size is None else str(size) for size in wanted)
            raise ContractError(
                f"{self._origin}: the model takes images of shape ({expected}) and its contract makes {x.shape[1:]} "
                "from these. Correct layout, channels or size in the contract, or name a resize rule."
            )
        # a copy: the caller may go on changing its own array
        given = x.reshape(len(x), *shape).astype(x.dtype if self.contract.takes_integers else np.float32)
        return load_tensorflow().constant(given)

    def _raw(self, scores: Any, n: int) -> NDArray[Any]:  # noqa: ANN401 - a tensor
        raw: NDArray[Any] = scores.numpy()
        labels, classes = self.contract.output == "labels", self.contract.classes
        width = raw.shape[1] if raw.ndim == 2 else None
        several = 2 if width == 1 else width  # one score is of two classes
        fits = width in (None, 1) if labels else several is not None and several == len(classes or range(several))
        if raw.ndim not in (1, 2) or len(raw) != n or not fits:
            expected = f"({n},)" if labels else f"({n}, {len(classes) if classes else 'classes'})"
            raise ModelError(
                f"{self._origin}: a classifier must answer {n} images with one tensor of shape {expected}; "
                f"found {raw.shape}. Export it so that it returns this only."
            )
        return raw

    def _check_differentiable(self) -> None:
        if self.contract.output == "labels":
            raise ModelError("A model that answers labels only has no gradient. Use one that answers logits.")
        if self.contract.takes_integers:
            raise ModelError(
                f"A model that takes {self.contract.dtype} has no gradient. Use one whose graph begins with float32."
            )
        if self._quantised:
            raise ModelError(
                f"{self._origin}: the network computes in 8-bit integers, which have no gradient. Use the model that "
                "it was quantised from."
            )
        if self._fixed_batch is not None:
            raise ModelError(
                f"{self._origin}: the model takes {self._fixed_batch} images at a time, and gradients are wanted of "
                "any number. Export it with a free batch, such as tf.TensorSpec((None, 32, 32, 3))."
            )

    @contextmanager
    def _running(self) -> Iterator[None]:
        tf = load_tensorflow()
        try:
            with tf.device(self._device), exact_float32():
                yield
        except CaeError:
            raise
        # LookupError: an operation without a gradient
        except (tf.errors.OpError, ValueError, TypeError, LookupError) as exc:
            raise ModelError(
                f"{self._origin}: TensorFlow cannot run or differentiate the model ({first_line(exc)}). "
                "Check layout, size and channels in its contract."
            ) from exc


def _check_input(graph: FrozenGraph, contract: Contract, origin: str) -> None:
    floats = graph.dtype in ("float16", "float32", "float64", "bfloat16")
    if not (floats or graph.dtype == "uint8"):
        raise ModelError(
            f"{origin}: a classifier of images takes one float or uint8 tensor; "
            f"found {graph.dtype} {graph.shape}. Export it with such an input."
        )
    check_rank(contract, graph.shape, origin=origin)
    if contract.dtype != "uint8" if graph.dtype == "uint8" else contract.takes_integers:
        remedy = 'dtype = "uint8", range = [0, 255]' if graph.dtype == "uint8" else 'dtype = "float32"'
        raise ContractError(f"{origin}: the model takes {graph.dtype} and its contract {contract.dtype}; say {remedy}.")
    if contract.input is not None and contract.input != graph.input.partition(":")[0]:
        found = graph.input.partition(":")[0]
        raise ContractError(f"{origin}: the contract's input is {contract.input!r}; the model's is {found!r}.")
