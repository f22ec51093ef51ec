"""A server of the tests' own, on loopback: it answers by a rule, and misbehaves as it is told."""

import base64
import io
import json
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SECRET", "Answer", "Deed", "Serving", "label_of", "serving"]

SECRET = "s3cr3t-t0ken-of-the-tests"  # noqa: S105 - of the tests

Answer = dict[str, Any]

Deed = Callable[["Handler", Answer], bool]
"""What is done instead of an answer; returns whether the request is done with."""


def label_of(image: NDArray[Any]) -> int:
    """The rule: the sum of the pixels, in thirds."""
    return int(np.asarray(image, np.float64).sum().round()) % 3


def scores_of(image: NDArray[Any]) -> list[float]:
    return [0.8 if c == label_of(image) else 0.1 for c in range(3)]


@dataclass
class Serving:
    """What the server was asked, and what it does next.

    Attributes:
        url: its beginning.
        asked: the images of every request, also of those that got no answer.
        headers: of every request.
        deeds: done one a request, before the rule applies again.
        always: done each time; None: the rule applies.
    """

    url: str = ""
    asked: list[list[bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    always: Deed | None = None
    version: str = "1"
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def images(self) -> list[bytes]:
        return [image for request in self.asked for image in request]


class Handler(BaseHTTPRequestHandler):
    """Open Inference Protocol, TensorFlow Serving, and a form of PNG files."""

    protocol_version = "HTTP/1.1"
    serving: Serving

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images, answer = self._answer(body)
        with self.serving.lock:
            self.serving.asked.append([np.asarray(x, np.uint8).tobytes() for x in images])
            self.serving.headers.append(dict(self.headers.items()))
            deed = self.serving.deeds.pop(0) if self.serving.deeds else self.serving.always
        if deed is not None and deed(self, answer):
            return
        self.send(200, json.dumps(answer).encode())

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, body: dict[str, Any]) -> tuple[list[NDArray[Any]], Answer]:
        if "/v2/" in self.path:
            told = body["inputs"][0]
            images = list(np.array(told["data"]).reshape(told["shape"]))
            data = [x for image in images for x in scores_of(image)]
            output = {"name": "scores", "datatype": "FP32", "shape": [len(images), 3], "data": data}
            return images, {"model_name": "m", "model_version": self.serving.version, "outputs": [output]}
        if ":predict" in self.path:
            images = [np.array(row) for row in body["instances"]]
            return images, {"predictions": [scores_of(image) for image in images]}
        files = [base64.b64decode(item["b64"]) for item in body["images"]]
        images = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
        names = ["cat", "dog", "naïve ünïcode"]
        found = [{"labels": [{"name": names[c], "p": scores_of(x)[c]} for c in range(3)]} for x in images]
        return images, {"results": found}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have gone."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Serving]:
    """Run the server in threads of this process, behind TLS where there is a context."""
    state = Serving()
    handler = type("Bound", (Handler,), {"serving": state})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    state.url = f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fine(_: Handler, __: Answer) -> bool:
    return False


def busy(handler: Handler, _: Answer) -> bool:
    handler.send(429, b"{}", Retry_After="0")
    return True


def busy_until_long_ago(handler: Handler, _: Answer) -> bool:
    handler.send(503, b"{}", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    return True


def broken(handler: Handler, _: Answer) -> bool:
    handler.send(500, f"<html>{SECRET}</html>".encode())
    return True


def refusing(handler: Handler, _: Answer) -> bool:
    handler.send(422, b"{}")
    return True


def forbidding(handler: Handler, _: Answer) -> bool:
    handler.send(403, f'{{"error": "{SECRET} is no key"}}'.encode())
    return True


def cutting(handler: Handler, answer: Answer) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(json.dumps(answer).encode()[:10])
    handler.close_connection = True
    return True


def no_json(handler: Handler, _: Answer) -> bool:
    handler.send(200, b"<html>hello</html>")
    return True


def too_deep(handler: Handler, _: Answer) -> bool:
    handler.send(200, b"[" * 90 + b"]" * 90)
    return True


def fewer(handler: Handler, answer: Answer) -> bool:
    for name in ("outputs", "predictions", "results"):
        if name in answer:
            answer[name] = answer[name][:-1]
    handler.send(200, json.dumps(answer).encode())
    return True


def elsewhere(handler: Handler, _: Answer) -> bool:
    handler.send(307, b"", Location="http://127.0.0.2:9/steal")
    return True


def nearby(handler: Handler, _: Answer) -> bool:
    handler.send(307, b"", Location=handler.path)
    return True


def bomb(handler: Handler, _: Answer) -> bool:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b" " * (1 << 20)
    content = b"".join(packer.compress(piece) for _ in range(100)) + packer.flush()
    handler.send(200, content, Content_Encoding="gzip")
    return True


def packed(handler: Handler, answer: Answer) -> bool:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    handler.send(200, packer.compress(json.dumps(answer).encode()) + packer.flush(), Content_Encoding="gzip")
    return True


def slow(handler: Handler, answer: Answer) -> bool:
    content = json.dumps(answer).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for byte in content[:40]:
        try:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        except OSError:
            break
        time.sleep(0.02)
    handler.close_connection = True
    return True


def asleep(handler: Handler, _: Answer) -> bool:
    time.sleep(0.6)
    handler.close_connection = True
    return True


def late(_: Handler, __: Answer) -> bool:
    time.sleep(0.4)
    return False
