"""Any ``torch.nn.Module`` as a `DifferentiableModel`."""

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.batches import images_at_once
from cae_backends.torch.network import Network, download, exact_float32, make_pullback, resolve_device, upload
from cae_core.arrays import Floats32, Images, check_images
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.loaders import Device
from cae_core.models import Ensemble, Precision, Predictions, Pullback, Witness

__all__ = ["TorchModel"]


class TorchModel:
    """A torch classifier and its contract.

    The module is copied, put into eval mode and frozen; the caller's stays as it is.

    Args:
        module: takes one tensor as ``contract`` describes it and answers (n, c), or labels.
        contract: what it takes and answers.
        device: ``"auto"`` (CUDA where it is usable, else the CPU) or a torch device.
        image_shape: (h, w, k) of the canonical images that a model from a file takes; None: any.
        witness: answers for the file that the module was made of.

    Raises:
        ModelError: there is no such device.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        contract: Contract,
        device: Device = "auto",
        image_shape: tuple[int | None, int | None, int | None] = (None, None, None),
        witness: Witness | None = None,
    ) -> None:
        self.contract = contract
        self.image_shape = image_shape
        self.witness = witness
        self.device = resolve_device(device)
        self.network = (
            Network(copy.deepcopy(module), contract).to(self.device).eval().requires_grad_(requires_grad=False)
        )

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k), in batches of bounded size.

        A row that is not finite is `cae_core.models.NO_ANSWER`.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the contract.
            ModelError: the module fails or does not answer (n, c).
        """
        check_images(images)
        step = images_at_once(self.contract, images.shape)
        parts = [self._raw(images[start : start + step]) for start in range(0, max(len(images), 1), step)]
        return self.contract.to_predictions(np.concatenate(parts))

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """Return logits (n, c) and their pullback, (n, c) -> (n, h, w, k); see `DifferentiableModel.vjp`.

        Where the model answers probabilities, the logits are log-probabilities.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the contract.
            ModelError: the model answers labels, takes integers, fails, or cannot be differentiated.
        """
        self.check_differentiable()
        x = upload(images, self.device).requires_grad_()
        with torch.enable_grad(), exact_float32():
            logits = self.network(x)
        return download(logits), make_pullback(logits, x)

    @classmethod
    def group(cls, models: Sequence[Self], *, precision: Precision) -> Ensemble:
        """Make one ensemble of ``models`` that shares the upload and the backward pass."""
        from cae_backends.torch.ensemble import TorchEnsemble

        return TorchEnsemble(models, precision=precision)

    def check_differentiable(self) -> None:
        """Refuse a contract under which there are no gradients.

        Raises:
            ModelError: the model answers labels only, or takes integers.
        """
        if self.contract.output == "labels":
            raise ModelError("A model that answers labels only has no gradient. Use one that answers logits.")
        if self.contract.dtype == "uint8":
            raise ModelError("A model that takes uint8 has no gradient. Use one whose graph begins with float32.")

    def _raw(self, images: Images) -> NDArray[np.float32]:
        with torch.no_grad(), exact_float32():
            scores = self.network.scores(upload(images, self.device))
        return download(scores) if self.contract.output != "labels" else scores.cpu().numpy()
