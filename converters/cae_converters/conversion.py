"""From one model file to another: Keras, SavedModel or torch to ONNX, and any of them to torch.

Whatever is written has been opened by the runtimes that will use it, and compared with the original there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cae_backends.torch import LOADER as TORCH_LOADER
from cae_converters.contract_nodes import absorb_contract
from cae_converters.onnx_file import checked_file, portable, set_metadata
from cae_converters.onnx_to_torch import export_program
from cae_converters.originals import Original, open_original
from cae_converters.parity import Parity, measure_parity, random_images, require_parity
from cae_core.contract import Contract, metadata_of
from cae_core.dataset import ImageSet
from cae_core.errors import BackendMissing, ModelError
from cae_core.files.outputs import ONNX_MODEL, TORCH_PROGRAM, check_output
from cae_core.files.scratch import scratch_folder
from cae_core.files.storage import replacing
from cae_core.loaders import refusal
from cae_core.models import Model
from cae_core.opening.opened import check_consent, open_model
from cae_core.progress import Progress, detail, silent

__all__ = ["REAL", "Conversion", "check_suffixes", "convert"]

REAL = 16
"""Real images in a comparison."""


@dataclass(frozen=True)
class Conversion:
    """A file that was written, and how far it is from the original.

    Attributes:
        path: where the file is.
        contract: what the file says about its input and output.
        parities: one for each runtime and set of images.
        unchecked: what could not be compared, in sentences.
    """

    path: Path
    contract: Contract
    parities: tuple[Parity, ...]
    unchecked: tuple[str, ...]

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae convert --json`` prints it."""
        return {
            "path": self.path,
            "contract": {name: value for name, value in asdict(self.contract).items() if value is not None},
            "parity": self.parities,
            "unchecked": self.unchecked,
        }


def convert(
    source: Path,
    target: Path,
    *,
    contract: Contract | None = None,
    data: ImageSet | None = None,
    allow_lambda: Sequence[str] = (),
    trusted: bool = False,
    progress: Progress = silent,
) -> Conversion:
    """Convert a model file.

    Args:
        source: ``.keras``, ``.h5``, a SavedModel folder, ``.pt2`` or ``.onnx``.
        target: ``.onnx`` or ``.pt2``; it is replaced only by a file that has passed the comparison.
        contract: replaces the one that the source carries.
        data: real images for the comparison; the result takes images of their size. Without them it takes images of
            the model's own size.
        allow_lambda: names of Keras Lambda layers whose code may be run.
        trusted: whether the source is one's own file; see `cae_core.opening.opened.open_model`.
        progress: told of the three steps: opened, converted, compared.

    Raises:
        OptionError: the target is the source, or a file of another kind; see `check_output`.
        ModelError: the source cannot be opened or converted, or the result differs from it.
        ContractError: nobody says what the source takes, or it does not fit the images.
        BackendMissing: a framework that the conversion needs is not installed.
        StorageError: the target cannot be written.
    """
    check_suffixes(source, target)
    progress("converting", 0, 3)
    detail(progress, "converting", "opening the original")
    check_consent(source, trusted=trusted)
    original = open_original(source, contract=contract, data=data, allow_lambda=allow_lambda)
    progress("converting", 1, 3)
    detail(progress, "converting", "writing its graph anew")
    proto, left = absorb_contract(original.to_onnx(), original.contract, original.image_shape)
    portable(proto)
    set_metadata(proto, metadata_of(left))
    if target.suffix.lower() == ".onnx":
        with checked_file(target, proto) as draft:
            _tell_comparing(progress)
            return _compared(original, draft, target, left, data)
    with replacing(target) as draft, scratch_folder() as folder:
        between = folder / "model.onnx"
        between.write_bytes(proto.SerializeToString(deterministic=True))
        carried = export_program(between, draft, image_shape=original.image_shape, origin=str(target))
        _tell_comparing(progress)
        return _compared(original, draft, target, carried, data)


def check_suffixes(source: Path, target: Path) -> None:
    """Refuse what cannot be converted by what it is called.

    Raises:
        ModelError: there is no such file, or the two are of kinds between which nothing converts.
    """
    if not source.exists():
        raise ModelError(f"{source}: no such model file. Give the path of an existing model.")
    suffixes = (source.suffix.lower(), target.suffix.lower())
    known = source.is_dir() or suffixes[0] in (".keras", ".h5", ".hdf5", ".onnx", ".pt2")
    told = None if known else refusal(source)
    if told is not None:
        raise ModelError(told)
    if suffixes[0] == ".tflite":
        raise ModelError(
            f"{source}: cae does not convert TFLite files; it verifies them as they are. Where you want ONNX: python "
            f"-m tf2onnx.convert --tflite {source} --output {target.with_suffix('.onnx')} --opset 17."
        )
    if not known or suffixes[1] not in (".onnx", ".pt2") or suffixes == (".pt2", ".pt2"):
        raise ModelError(
            f"{source} cannot be converted to {target}: name a result that ends in .onnx (from Keras, SavedModel, "
            ".pt2 or ONNX) or in .pt2 (from Keras, SavedModel or ONNX)."
        )
    check_output(target, ONNX_MODEL if suffixes[1] == ".onnx" else TORCH_PROGRAM, inputs=[source])


def _tell_comparing(progress: Progress) -> None:
    progress("converting", 2, 3)
    detail(progress, "converting", "asking the original and the result the same images")


def _compared(original: Original, draft: Path, target: Path, contract: Contract, data: ImageSet | None) -> Conversion:
    """Compare a draft with the original on random and on real images."""
    images = {"random": random_images(original.image_shape)}
    unchecked = []
    if data is None:
        unchecked.append("Compared on random images only: no real ones were given.")
    else:
        chosen = np.random.default_rng(0).permutation(len(data))[:REAL]
        images[Path(data.name).name] = data.images[np.sort(chosen)]
    converted: dict[str, Model] = {}
    if target.suffix.lower() == ".onnx":
        converted["ONNX Runtime"] = open_model(str(draft), device="cpu")
    runtime = "onnx2torch" if converted else "torch"
    try:
        # by its own loader: what stands in a draft was written here, and the comparison is with the original itself
        converted[runtime] = TORCH_LOADER.open(str(draft), contract=None, device="cpu")
    except BackendMissing as missing:
        unchecked.append(f"Not opened by {runtime}: {missing}")
    parities = measure_parity(original.model, converted, images, output=original.contract.output)
    require_parity(parities, origin=str(target))
    return Conversion(target, contract, tuple(parities), tuple(unchecked))
