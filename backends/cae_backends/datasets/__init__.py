"""Data sets by one string: a name or a path, and options after commas, such as ``mnist,size=32``.

A name is `digits`, which comes with scikit-learn, or that of a published set, which is downloaded where there is a
network, and kept. A path leads to one of the forms that the `READERS` know, each a file of this package; docs/data.md
shows them all.

The options are those of `DataSpec`.
"""

from cae_backends.datasets.reader import Reader
from cae_backends.datasets.spec import DataSpec
from cae_backends.datasets.table import READERS, SPLITS, open_data

__all__ = ["READERS", "SPLITS", "DataSpec", "Reader", "open_data"]
