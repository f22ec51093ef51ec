"""Published data sets by name: downloaded once, their hashes checked each time, and kept in a folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cae_core.errors import DataError, StorageError

if TYPE_CHECKING:
    from requests import RequestException

__all__ = ["PUBLISHED", "Published", "fetch"]

_TIMEOUT = (5, 30)
"""Seconds to connect, and between two pieces of an answer."""


@dataclass(frozen=True)
class Published:
    """Where a data set is published.

    Attributes:
        base_url: address below which the files lie.
        md5: the hash of each file. It tells a broken or another file, and not a forged one: the files are read
            as if nobody had checked them.
    """

    base_url: str
    md5: dict[str, str]


PUBLISHED = {
    # https://www.cs.toronto.edu/~kriz/cifar.html
    "cifar-10": Published(
        "https://www.cs.toronto.edu/~kriz/", {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}
    ),
    "cifar-100": Published(
        "https://www.cs.toronto.edu/~kriz/", {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}
    ),
    # torchvision.datasets.MNIST and its mirror: the makers' page publishes no hashes
    "mnist": Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    # https://github.com/zalandoresearch/fashion-mnist
    "fashion-mnist": Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}


def fetch(name: str) -> Path:
    """Return the archive, or the folder of files, of a data set in `PUBLISHED`; download what is not there.

    The files lie in the folder ``name`` of the environment variable ``CAE_DATA``, or of the user's cache folder.

    Raises:
        DataError: pooch is not installed, there is no network, or a file does not have the published hash.
        StorageError: a file cannot be written.
    """
    published = PUBLISHED[name]
    by_hand = f"download {', '.join(published.md5)} from {published.base_url} elsewhere and give --data PATH"
    try:
        import pooch
        import requests
    except ImportError as exc:
        raise DataError(
            f"{name} is downloaded by pooch. Install it, pip install 'cae-fingerprint[data]', or {by_hand}."
        ) from exc
    folder = Path(os.environ.get("CAE_DATA") or pooch.os_cache("cae-fingerprint")) / name
    downloader: Any = pooch.HTTPDownloader(
        timeout=_TIMEOUT, chunk_size=1 << 16
    )  # pooch's type of a downloader is not that of its own
    for file, md5 in published.md5.items():
        url = published.base_url + file
        try:
            pooch.retrieve(url, known_hash=f"md5:{md5}", fname=file, path=folder, downloader=downloader)
        except requests.RequestException as exc:
            reason = _reason(exc, urlsplit(url).netloc)
            raise DataError(
                f"{name} is not complete in {folder} and cannot be downloaded: {reason}; {by_hand}."
            ) from exc
        except OSError as exc:
            raise StorageError(f"{folder / file}: cannot be written ({exc.strerror}). Set CAE_DATA.") from exc
        except ValueError as exc:  # pooch has removed the file
            raise DataError(
                f"{url}: what came does not have the published MD5 {md5}. Try again later, or {by_hand}."
            ) from exc
    return folder / next(iter(published.md5)) if len(published.md5) == 1 else folder


def _reason(exc: "RequestException", host: str) -> str:
    if exc.response is None:
        return f"no connection to {host} ({type(exc).__name__})"
    exc.response.close()  # pooch leaves the connection of a refused request open
    return f"{host} answers {exc.response.status_code}"
