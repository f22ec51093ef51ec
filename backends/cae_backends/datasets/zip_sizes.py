"""Whether a zip archive, such as an ``.npz`` file, unpacks to more than anybody's data do."""

import zipfile
from typing import IO

from cae_core.errors import DataError

__all__ = ["check_unpacked_sizes"]

_FREE = 1 << 28
"""Bytes that a member may have however well it is compressed."""

_RATIO = 20
"""Of a larger member's bytes to those in the archive; images are compressed 10 to 1 where they are nearly empty."""


def check_unpacked_sizes(stream: IO[bytes], where: str) -> None:
    """Refuse an archive with a member that is compressed as only nothing can be; leave ``stream`` at its beginning.

    Raises:
        DataError: there is one.
        zipfile.BadZipFile: this is no archive.
    """
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.file_size > max(_FREE, _RATIO * member.compress_size):
                raise DataError(
                    f"{where}: {member.compress_size} bytes unpack to {member.file_size}, which are hardly images. "
                    "Write the arrays uncompressed, with numpy.savez."
                )
    stream.seek(0)
