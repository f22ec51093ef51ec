"""``python -m tests.golden [pytest's arguments]``: write the goldens anew, all of them or some (``-k NAME``)."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.golden.expected import EXPECTED, RECORD


def main() -> int:
    """Run the cases, and write down what they give."""
    os.environ[RECORD] = "1"
    if "-k" not in sys.argv:  # all: what no case gives any more goes
        shutil.rmtree(EXPECTED, ignore_errors=True)
    return pytest.main([str(Path(__file__).parent), "-q", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
