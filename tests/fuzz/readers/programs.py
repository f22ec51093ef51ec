"""Exported torch programs, which are opened with their user's word only: bytes, and the tables in them."""

import io
import json
import zipfile
from functools import partial
from pathlib import Path
from random import Random

from tests.fuzz.mutations import edited_bytes, edited_value, json_bytes
from tests.fuzz.reader import Case, Make, Reader
from tests.fuzz.readers.models import CLASSES, Models

__all__ = ["PROGRAM"]

_CONTRACT = 'layout = "NCHW", range = [0, 1], output = "logits"'


def _prepare(folder: Path) -> Models:
    """Export a small network."""
    import torch
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.head = nn.Conv2d(1, 2, 3), nn.Linear(8, CLASSES)

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.head(torch.relu(self.convolution(images)).flatten(1))
            return answer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim("n")},)
    program = torch.export.export(Network().eval(), (torch.zeros(2, 1, 4, 4),), dynamic_shapes=shapes)
    path = folder / "valid.pt2"
    torch.export.save(program, path)
    return Models({"valid.pt2": path.read_bytes()}, folder, contract=_CONTRACT)


def _written(folder: Path, content: bytes) -> Path:
    path = folder / "m.pt2"
    path.write_bytes(content)
    return path


def _program(random: Random, models: Models, folder: Path) -> Case:
    content, what, path = models.files["valid.pt2"], "", folder / "m.pt2"
    if random.random() < 0.3:
        _written(folder, edited_bytes(random, content, most=5))
        return Case(partial(models.asked, path), "bytes", zipfile.is_zipfile(path))
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(path, "w") as made:
        for name in given.namelist():
            part = given.read(name)
            if name.endswith("models/model.json") or (name.endswith(".json") and random.random() < 0.1):
                table, done = edited_value(random, json.loads(part))
                part, what = json_bytes(table), f"{what}{name}: {done} "
            elif random.random() < 0.03:
                part, what = edited_bytes(random, part), f"{what}{name}: bytes "
            elif random.random() < 0.01:
                what += f"{name} left out "
                continue
            made.writestr(name, part)
    return Case(partial(models.asked, path), what)


def _named_member(name: str, part: bytes) -> Make:
    def make(_: Random, models: Models, folder: Path) -> Case:
        path = folder / "m.pt2"
        with zipfile.ZipFile(io.BytesIO(models.files["valid.pt2"])) as given, zipfile.ZipFile(path, "w") as made:
            for member in given.namelist():
                made.writestr(member, part if member.endswith(name) else given.read(member))
        return Case(partial(models.asked, path), "given")

    return make


def _valid(_: Random, models: Models, folder: Path) -> Case:
    return Case(partial(models.asked, _written(folder, models.files["valid.pt2"])), "valid")


PROGRAM = Reader(
    name="program",
    prepare=_prepare,
    make=_program,
    failures={
        "a graph that is a list": _named_member("models/model.json", b"[]"),
        "a graph that is null": _named_member("models/model.json", b"null"),
        "a deep graph": _named_member("models/model.json", b"[" * 900 + b"]" * 900),
    },
    valid={"a program": _valid},
    heavy=True,
    memory=3 << 30,
)
