"""``cmd:program arguments``: a program of the user's own that reads names of images and prints answers.

It is started for each batch. It reads the path of an image a line, until there are no more, and prints a line for each
of them in their order: a number, a name in quotes, a list of scores, or an object with ``label`` or ``scores``, all as
JSON. The images are PNG files; with ``cmd:npy:program`` they are ``.npy`` files, uint8 (h, w, k) or, with a contract,
the tensor that it describes.
"""

import json
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np

from cae_core.arrays import Images, check_images
from cae_core.contract import Contract, Task
from cae_core.contract.told_answers import read_answers
from cae_core.errors import ContractError, ModelError, quoted
from cae_core.files.png import png_of
from cae_core.foreign_text import visible
from cae_core.models import Predictions
from cae_core.reading import check_depth, reading

__all__ = ["ProgramModel", "open_program"]

_STARTING_S, _IMAGE_S = 600.0, 10.0
"""Until a program has answered so many images: a program that waits for its terminal is not waited for."""


def open_program(spec: str, *, contract: Contract | None, task: Task | None) -> "ProgramModel":
    """Return a program as a black box; it is started when images are asked.

    Raises:
        ModelError: no program is named.
        ContractError: PNG files cannot hold what the contract describes.
    """
    words = spec.removeprefix("cmd:")
    as_array = words.startswith("npy:")
    try:
        command = shlex.split(words.removeprefix("npy:"))
    except ValueError as error:
        raise ModelError(f"{visible(spec)}: this is no command ({error}).") from error
    if not command:
        raise ModelError(f"{visible(spec)}: expected cmd:program, or cmd:npy:program, with its arguments.")
    if not as_array and contract is not None and (contract.layout, contract.dtype) != ("NHWC", "uint8"):
        raise ContractError(
            f'{visible(spec)}: the images are PNG files, which hold layout = "NHWC", dtype = "uint8" alone. Correct '
            "the contract, or take cmd:npy:program."
        )
    return ProgramModel(command, spec=spec, as_array=as_array, contract=contract, task=task)


class ProgramModel:
    """A program as a black box.

    Args:
        command: the program and its arguments.
        spec: as its user wrote it.
        as_array: whether images are ``.npy`` files.
        contract: of the program; None: it takes the images as they are.
        task: the classes of the data.
    """

    def __init__(
        self, command: list[str], *, spec: str, as_array: bool, contract: Contract | None, task: Task | None
    ) -> None:
        self.contract = contract
        self._command, self._as_array, self._origin, self._task = command, as_array, visible(spec), task

    def predict(self, images: Images) -> Predictions:
        """See `cae_core.models.Model.predict`.

        Raises:
            ModelError: the program cannot be started, fails, or answers what no classifier answers.
        """
        check_images(images)
        given = images if self.contract is None else self.contract.to_input(images)
        with tempfile.TemporaryDirectory(prefix="cae-images-") as folder:
            paths = [self._written(Path(folder), place, image) for place, image in enumerate(given)]
            printed = self._run("".join(f"{path}\n" for path in paths), len(images))
        with reading(
            self._origin, ModelError, fault="its answers are no JSON", remedy="Print a line for each image, as JSON."
        ):
            told = [_answer(line) for line in printed.splitlines() if line.strip()]
        return read_answers(told, len(images), contract=self.contract, task=self._task, origin=self._origin)

    def _written(self, folder: Path, place: int, image: Any) -> Path:  # noqa: ANN401 - an array
        if self._as_array:
            np.save(folder / f"{place:06d}.npy", np.asarray(image))
            return folder / f"{place:06d}.npy"
        path = folder / f"{place:06d}.png"
        path.write_bytes(png_of(np.asarray(image, np.uint8)))
        return path

    def _run(self, names: str, images: int) -> str:
        seconds = _STARTING_S + _IMAGE_S * images
        try:
            done = subprocess.run(  # noqa: S603 - the user has named it
                self._command, input=names, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{self._origin}: it has not answered {images} images in {seconds:g} seconds.") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{self._origin}: the program cannot be run ({error}).") from error
        if done.returncode:
            raise ModelError(f"{self._origin}: the program has failed (exit code {done.returncode}).")
        return done.stdout


def _answer(line: str) -> object:
    told: Any = json.loads(line)
    check_depth(told)
    if not isinstance(told, dict):
        return cast("object", told)
    for name in ("label", "scores"):
        if name in told:
            return cast("dict[str, object]", told)[name]
    raise ValueError(f"an object without label or scores: {quoted(told)}")
