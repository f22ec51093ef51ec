"""ONNX Runtime as the witness of an ONNX file: what a white box made of the file is held against."""

from pathlib import Path

from cae_backends.onnxruntime.model import OnnxRuntimeModel, open_with_runtime
from cae_core.arrays import Floats32
from cae_core.contract import Contract

__all__ = ["OnnxWitness"]


class OnnxWitness:
    """Answers for an ONNX file on the CPU; see `cae_core.models.Witness`.

    Args:
        path: the file, which is opened when it is first asked.
        contract: what it takes and answers.
        resolution: relative, of the coarsest arithmetic that the file asks for.
    """

    name = "ONNX Runtime"

    def __init__(self, path: Path, contract: Contract, resolution: float) -> None:
        self.resolution = resolution
        self._path, self._contract = path, contract
        self._opened: OnnxRuntimeModel | None = None

    def logits(self, images: Floats32, *, plain: bool = False) -> Floats32:
        """Return logits (n, c), or log-probabilities clamped at 1e-30; see `cae_core.models.Witness.logits`.

        Raises:
            ModelError: ONNX Runtime cannot open or run the file.
        """
        if plain:
            model = open_with_runtime(self._path, contract=self._contract, device="cpu", optimised=False)
        else:
            self._opened = self._opened or open_with_runtime(self._path, contract=self._contract, device="cpu")
            model = self._opened
        return self._contract.to_logits(model.scores(images))
