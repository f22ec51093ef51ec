"""How often a command opens, hashes and loads each file: so that a test can hold it to once.

What is counted, by resolved path:

- *opened*: opens by Python, by the interpreter's own audit event ``open``. A runtime that opens a file in C, as ONNX
  Runtime does with a model's path, is not seen by it.
- *hashed*: the bytes that `cae_core.files.digests`, which every hashing of a file goes through, reads of it.
- *loaded*: sessions that ONNX Runtime makes of the file.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counts", "count"]

_SCRIPT = """
import atexit, json, os, pathlib, sys
from collections import Counter

report, *arguments = sys.argv[1:]
opened, hashed, loaded = Counter(), Counter(), Counter()
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
    hashing = sys._getframe(1).f_globals.get("__name__") == "cae_core.files.digests"
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
atexit.register(
    lambda: pathlib.Path(report).write_text(json.dumps({"opened": opened, "hashed": hashed, "loaded": loaded}))
)
sys.argv = ["cae", *arguments]
from cae_cli.main import main

main()
"""


@dataclass(frozen=True)
class Counts:
    """What one command did.

    Attributes:
        code: its exit code.
        out: what it printed.
        err: likewise, on the other stream.
        opened: opens by Python, of every path.
        hashed: bytes that were read to hash them, of every path.
        loaded: ONNX Runtime sessions, of every path.
    """

    code: int
    out: str
    err: str
    opened: dict[str, int]
    hashed: dict[str, int]
    loaded: dict[str, int]

    def times_opened(self, path: Path) -> int:
        """Return how often Python opened the file."""
        return self.opened.get(str(path.resolve()), 0)

    def times_hashed(self, path: Path) -> float:
        """Return how often the file was hashed: the bytes read for it, in files' sizes."""
        return self.hashed.get(str(path.resolve()), 0) / path.stat().st_size

    def times_loaded(self, path: Path) -> int:
        """Return how many ONNX Runtime sessions were made of the file."""
        return self.loaded.get(str(path.resolve()), 0)


def count(folder: Path, arguments: Sequence[str | Path]) -> Counts:
    """Run ``cae`` with ``arguments`` in a process of its own, and count; ``folder`` takes the report."""
    report = folder / "counts.json"
    command = [sys.executable, "-c", _SCRIPT, str(report), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return Counts(done.returncode, done.stdout, done.stderr, **json.loads(report.read_text()))
