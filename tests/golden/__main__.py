"""``python -m tests.golden [pytest's arguments]``: write the goldens anew, all of them or some (``-k NAME``)."""

import os
import sys
from pathlib import Path

import pytest

from tests.golden.expected import RECORD


def main() -> int:
    """Run the cases, and write down what they give."""
    os.environ[RECORD] = "1"
    return pytest.main([str(Path(__file__).parent), "-q", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
