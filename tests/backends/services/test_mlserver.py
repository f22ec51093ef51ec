"""MLServer itself, which somebody else wrote: it wants an environment of its own, whose program CAE_MLSERVER names.

MLServer 1.7.1 takes Python below 3.13, and older releases of what this project's tools use:
``python -m venv E; E/bin/pip install mlserver==1.7.1; CAE_MLSERVER=E/bin/mlserver pytest …``
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from cae_core.calibration.calibrated import load_calibrated
from cae_core.models import Predictions
from cae_core.verification.verify import verify
from cae_core.workflows import verify_suspect
from tests.backends.services.service import label_of

MLSERVER = os.environ.get("CAE_MLSERVER") or shutil.which("mlserver")
GOLDEN = Path(__file__).parents[2] / "data" / "fingerprint-0.1.0-calibrated.safetensors"

pytestmark = pytest.mark.skipif(MLSERVER is None, reason="no MLServer: CAE_MLSERVER names none")

MODEL = """
import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Ours(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        told = payload.inputs[0]
        images = np.array(told.data.root).reshape(told.shape)
        labels = images.reshape(len(images), -1).sum(axis=1).round().astype(int) % 3
        scores = np.where(np.arange(3) == labels[:, None], 0.8, 0.1)
        output = ResponseOutput(name="scores", shape=[len(images), 3], datatype="FP32", data=scores.ravel().tolist())
        return InferenceResponse(model_name=self.name, model_version="5", outputs=[output])
"""


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture
def mlserver(tmp_path: Path) -> Iterator[str]:
    http, grpc, metrics = free_ports(3)
    folder = tmp_path / "served"
    folder.mkdir()
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0}))
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "ours.Ours"}))
    (folder / "ours.py").write_text(MODEL)
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([str(MLSERVER), "start", str(folder)], cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(http, server, tmp_path / "log")
            yield f"http://127.0.0.1:{http}/v2/models/m/infer"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/v2/models/m/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    pytest.fail(f"MLServer does not start: {log.read_text()[-2000:]}")


class Same:
    def predict(self, images: np.ndarray) -> Predictions:
        return Predictions(np.array([label_of(image) for image in images], np.int64))


def test_the_verdict_is_that_of_the_model_behind_it(mlserver: str, tmp_path: Path) -> None:
    own = Path(shutil.copy(GOLDEN, tmp_path / "own.safetensors"))
    (tmp_path / "service.toml").write_text(
        f'[service]\nform = "open-inference"\nurl = "{mlserver}"\nversion = "5"\nimages = 4\nconcurrency = 2\n'
        '[contract]\nlayout = "NCHW"\nrange = [0, 255]\noutput = "probabilities"\noutput_name = "scores"\n'
    )
    verdict = verify_suspect(tmp_path / "service.toml", own)
    asked = verify(Same(), load_calibrated(own), named=verdict.suspect, nonce=bytes.fromhex(verdict.nonce))
    assert [x.label for x in verdict.answers] == [x.label for x in asked.answers]
    assert verdict.decision.value == asked.decision.value
    assert verdict.service is not None
    assert (verdict.service.versions, verdict.service.sent) == (("5",), sum(verdict.queries.values()))
