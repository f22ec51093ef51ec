"""How often a command opens, hashes and loads each file: so that a test can hold it to once.

What is counted, by resolved path:

- *opened*: opens by Python, by the interpreter's own audit event ``open``. A runtime that opens a file in C, as ONNX
  Runtime does with a model's path, is not seen by it.
- *hashings* and *hashed*: opens, and the bytes read, by `cae_core.files.digests`, through which every file is hashed.
- *loaded*: sessions that ONNX Runtime makes of the file.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counts", "FileCount", "count"]

_SCRIPT = """
import atexit, json, os, pathlib, sys
from collections import Counter

report, *arguments = sys.argv[1:]
opened, hashings, hashed, loaded = Counter(), Counter(), Counter(), Counter()
name_of = lambda path: os.path.realpath(os.fsdecode(path))


def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        opened[name_of(args[0])] += 1


class Counted:
    def __init__(self, file, name):
        self.file, self.name = file, name

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def read(self, size=-1):
        block = self.file.read(size)
        hashed[self.name] += len(block)
        return block


def counted_open(self, *args, **options):
    file = open_path(self, *args, **options)
    reading = args[:1] == ("rb",)  # the copy that is written while a file is hashed is another file
    hashing = reading and sys._getframe(1).f_globals.get("__name__") == "cae_core.files.digests"
    hashings[name_of(self)] += hashing
    return Counted(file, name_of(self)) if hashing else file


open_path = pathlib.Path.open
pathlib.Path.open = counted_open

import onnxruntime

make = onnxruntime.InferenceSession.__init__


def counted_session(self, path, *args, **options):
    loaded[name_of(path)] += 1
    return make(self, path, *args, **options)


onnxruntime.InferenceSession.__init__ = counted_session
sys.addaudithook(audit)
counts = {"opened": opened, "hashings": hashings, "hashed": hashed, "loaded": loaded}
atexit.register(lambda: pathlib.Path(report).write_text(json.dumps(counts)))
sys.argv = ["cae", *arguments]
from cae_cli.main import main

main()
"""


@dataclass(frozen=True)
class FileCount:
    """What happened to one file; see the module.

    Attributes:
        opened: how often Python opened it.
        hashings: how often it did so to hash it.
        hashed: how many bytes were read for that.
        loaded: how many ONNX Runtime sessions were made of it.
    """

    opened: int
    hashings: int
    hashed: int
    loaded: int


@dataclass(frozen=True)
class Counts:
    """What one command did.

    Attributes:
        code: its exit code.
        out: what it printed.
        err: likewise, on the other stream.
        found: the names of `FileCount`, and of each the count by the file's resolved path.
    """

    code: int
    out: str
    err: str
    found: dict[str, dict[str, int]]

    def of(self, path: Path) -> FileCount:
        """Return what happened to a file; to a folder's files it happens one by one."""
        return FileCount(**{name: counts.get(str(path.resolve()), 0) for name, counts in self.found.items()})

    def hashed_once(self, path: Path) -> bool:
        """Return whether the file was opened once to hash it, and each of its bytes read once for that."""
        count = self.of(path)
        return count.hashings == 1 and count.hashed == path.stat().st_size


def count(folder: Path, arguments: Sequence[str | Path]) -> Counts:
    """Run ``cae`` with ``arguments`` in a process of its own, and count; ``folder`` takes the report."""
    report = folder / "counts.json"
    command = [sys.executable, "-c", _SCRIPT, str(report), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return Counts(done.returncode, done.stdout, done.stderr, json.loads(report.read_text()))
