"""HDF5 files are walked before anybody reads them: nothing in a file of weights lies, or is looked for, outside of it.

HDF5 can keep an object's bytes in any other file: by an external link, external storage or a virtual data set. Which
weights a model has would then depend on the reader's disk. A soft link stays inside, but a name may lead through it.
"""

import importlib
import math
from typing import Any

__all__ = ["UnsafeFile", "check_hdf5"]


class UnsafeFile(ValueError):  # noqa: N818 - a file that is what it says it is, and that nobody should read
    """The file is no damaged one: reading it would read others, fill the memory, or never end."""


_SPARE = 64 << 20
_RATIO = 16
"""What data sets may be larger than their file by: Keras does not compress its weights."""


def check_hdf5(file: Any, *, size: int) -> None:  # noqa: ANN401 - an h5py.File
    """Refuse links and data that lie elsewhere, and data sets far larger than what is stored.

    Args:
        file: open for reading; nothing in it is followed.
        size: of the file, in bytes.

    Raises:
        UnsafeFile: it says which object.
    """
    h5py = _h5py()
    declared, seen = 0, set[Any]()
    waiting = [(file["/"].id, "")]
    while waiting:
        group, prefix = waiting.pop()
        for name in group:
            label = f"{prefix}/{name.decode(errors='replace')}"
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise UnsafeFile(f"the weights' {label!r} is a link, perhaps to another file")
            kind = h5py.h5o.get_info(group, name)
            if (kind.fileno, kind.addr) in seen:
                continue
            seen.add((kind.fileno, kind.addr))
            if kind.type == h5py.h5o.TYPE_GROUP:
                waiting.append((h5py.h5g.open(group, name), label))
            elif kind.type == h5py.h5o.TYPE_DATASET:
                declared += _declared_bytes(h5py.h5d.open(group, name), label)
    if declared > _SPARE + _RATIO * size:
        raise UnsafeFile(f"its data sets unpack to {declared} bytes, and the file has {size}")


def _h5py() -> Any:  # noqa: ANN401 - the low-level half of h5py is in no type information
    return importlib.import_module("h5py")


def _declared_bytes(dataset: Any, label: str) -> int:  # noqa: ANN401 - an h5py.h5d.DatasetID
    h5py = _h5py()
    made = dataset.get_create_plist()  # before the shape, which is looked up in the sources of a virtual data set
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise UnsafeFile(f"the weights' {label!r} is a virtual data set, whose values lie in other files")
    if made.get_external_count():
        raise UnsafeFile(f"the weights' {label!r} is stored in another file")
    return int(math.prod(dataset.shape) * dataset.get_type().get_size())
