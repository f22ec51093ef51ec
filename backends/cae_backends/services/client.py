"""An HTTP client that trusts nobody: bounded in time, bytes, attempts and pace, and silent about secrets."""

import json
import random
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from cae_backends.services.description import Description
from cae_core.errors import BackendMissing, ModelError, OptionError
from cae_core.reading import check_depth

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

__all__ = ["Client", "Unreached"]

T = TypeVar("T")

_LARGEST = 1 << 26
"""Bytes of an answer at most, unpacked: 1,000 scores to each of 4,096 images in 16 characters each."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What may be otherwise the next time."""

_REFUSED = frozenset({400, 413, 415, 422})
"""What may be said of these images alone."""

_REDIRECTS = frozenset({307, 308})
_MOST_REDIRECTS = 3


class Unreached(Exception):  # noqa: N818 - it never leaves this room
    """A request that got no answer.

    Attributes:
        wait: seconds that the service asks to be left alone; None: it does not say.
        refused: whether these images are refused, so that to send them again changes nothing.
    """

    def __init__(self, why: str, wait: float | None = None, *, refused: bool = False) -> None:
        super().__init__(why)
        self.wait, self.refused = wait, refused


@dataclass
class Client:
    """Posts JSON to a service.

    Attributes:
        service: its description.
        secrets: the values of the environment variables that it names.
        requests: how many were sent, answered or not.
        images: how many images were in them.
    """

    service: Description
    secrets: Mapping[str, str] = field(repr=False)
    requests: int = 0
    images: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _next: float = 0.0
    _http: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        httpx = _httpx()
        service = self.service
        self._url = service.filled(service.url, self.secrets)
        headers = {name: service.filled(value, self.secrets) for name, value in service.headers.items()}
        self._http = httpx.Client(
            headers={**headers, "Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(service.seconds),
            limits=httpx.Limits(max_connections=service.concurrency + 1),
            follow_redirects=False,
            verify=_context(service.certificates),
            trust_env=False,  # no proxy, no certificates and no passwords of the machine's
        )

    def post(self, body: Any, *, images: int) -> Any:  # noqa: ANN401 - what JSON can hold
        """Post ``body``, in which so many images are, again and again until it is answered; return the JSON answer.

        Raises:
            Unreached: all attempts failed, or these images are refused.
            ModelError: the service refuses to be asked, redirects elsewhere, or answers more than it may.
        """
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        retrying = Retrying(
            stop=stop_after_attempt(self.service.attempts),
            wait=self._wait,
            retry=retry_if_exception(lambda error: isinstance(error, Unreached) and not error.refused),
            reraise=True,
        )
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        return retrying(self._once, content, images)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def scrubbed(self, text: str) -> str:
        """Return ``text`` without the values of secrets."""
        for value in sorted(self.secrets.values(), key=len, reverse=True):
            text = text.replace(value, "***") if value else text
        return text

    def _wait(self, state: "RetryCallState") -> float:
        service, error = self.service, None if state.outcome is None else state.outcome.exception()
        if isinstance(error, Unreached) and error.wait is not None:
            return min(error.wait, service.longest_wait)
        longest = min(service.longest_wait, service.first_wait * 2.0 ** min(state.attempt_number - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at once

    def _once(self, content: bytes, images: int) -> Any:  # noqa: ANN401
        self._keep_pace()
        with self._lock:
            self.requests += 1
            self.images += images
        return _parsed(_in_time(lambda: self._sent(content), self.service.seconds))

    def _keep_pace(self) -> None:
        if self.service.per_second is None:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + 1 / self.service.per_second
        time.sleep(max(0.0, begin - now))

    def _sent(self, content: bytes) -> bytes:
        httpx, url = _httpx(), self._url
        until = time.monotonic() + self.service.seconds
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                headers = {"Content-Type": "application/json"}
                with self._http.stream("POST", url, content=content, headers=headers) as response:
                    if response.status_code not in _REDIRECTS:
                        return _content(response, until)
                    url = _elsewhere(httpx.URL(url), response)
        except httpx.TransportError as error:  # its text may name the address with its query
            raise Unreached(type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ModelError(f"the service cannot be asked ({type(error).__name__}).") from None
        raise ModelError(f"the service redirects more than {_MOST_REDIRECTS} times.")


def _httpx() -> Any:  # noqa: ANN401 - a module
    try:
        import httpx
        import tenacity  # noqa: F401 - both are needed
    except ImportError as error:
        raise BackendMissing("A service takes httpx and tenacity: pip install 'cae-fingerprint[services]'.") from error
    return httpx


def _context(certificates: str) -> ssl.SSLContext | bool:
    """Return how the service's certificate is checked.

    Raises:
        OptionError: the file holds no certificates.
    """
    if not certificates:
        return True
    try:
        return ssl.create_default_context(cafile=certificates)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"{certificates}: this file of certificates cannot be read ({error}).") from error


def _in_time(work: Callable[[], T], seconds: float) -> T:
    """Return what ``work`` does, in at most ``seconds``: whoever sends a byte now and then is not waited for.

    Raises:
        Unreached: it took longer; the thread goes on until the connection ends, and nobody hears it.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the work was asked for
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise Unreached("no whole answer in time")
    return found[0]


def _content(response: "httpx.Response", until: float) -> bytes:
    status = response.status_code
    if status in _AGAIN:
        raise Unreached(f"status {status}", _asked_to_wait(response.headers.get("Retry-After", "")))
    if status in _REFUSED:
        raise Unreached(f"status {status}", refused=True)
    if not 200 <= status < 300:
        raise ModelError(f"the service refuses the request (status {status}).")
    return _unpacked(response, until)


def _asked_to_wait(text: str) -> float | None:
    """Return the seconds of a Retry-After: a number, or a date."""
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _elsewhere(asked: "httpx.URL", response: "httpx.Response") -> str:
    """Return where the service redirects to, on the same host.

    Raises:
        ModelError: it is another one, or none.
    """
    try:
        target = asked.join(response.headers["Location"])
    except Exception as error:
        raise ModelError("the service redirects to what is no address.") from error
    if (target.scheme, target.host, target.port) != (asked.scheme, asked.host, asked.port):
        raise ModelError("the service redirects to another host, which is not asked. Give the address that is meant.")
    return str(target)


def _unpacked(response: "httpx.Response", until: float) -> bytes:
    """Return the body, at most `_LARGEST` bytes, unpacked where it was sent packed although it was asked not to be."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "deflate"):
        raise ModelError("the service packs its answer although it is asked not to.")
    unpacker = None if coding in ("identity", "") else zlib.decompressobj(47)  # gzip or zlib, whichever it begins with
    content = bytearray()
    for piece in response.iter_raw(1 << 16):
        try:
            content += piece if unpacker is None else unpacker.decompress(piece, _LARGEST + 1 - len(content))
        except zlib.error as error:
            raise ModelError("the service's packed answer cannot be unpacked.") from error
        if len(content) > _LARGEST or (unpacker is not None and unpacker.unconsumed_tail):
            raise ModelError(f"the service answers more than {_LARGEST} bytes.")
        if time.monotonic() > until:
            raise Unreached("no whole answer in time")
    return bytes(content)


def _parsed(content: bytes) -> Any:  # noqa: ANN401 - what JSON can hold
    try:
        found = json.loads(content)
        check_depth(found)
    except (ValueError, RecursionError) as error:
        raise Unreached("no JSON, or nested too deeply") from error
    return found
