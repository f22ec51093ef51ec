"""`cae verify` of a service, printed: what it was sent, and no secret."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.backends.services import service as deeds
from tests.backends.services.service import SECRET, serving
from tests.cli.conftest import Run
from tests.cli.test_bad_input import assert_one_sentence

GOLDEN = Path(__file__).parents[1] / "data" / "fingerprint-0.1.0-calibrated.safetensors"

SERVICE = """[service]
form = "tensorflow-serving"
url = "{url}/v1/models/m:predict"
version = "7"
headers = {{X-Key = "${{CAE_TEST_TOKEN}}"}}
images = 8
attempts = 1
give_up = 2
[contract]
layout = "NHWC"
range = [0, 255]
output = "probabilities"
"""


def test_a_service_is_judged_and_a_secret_is_never_printed(
    tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAE_TEST_TOKEN", SECRET)
    monkeypatch.setenv("COLUMNS", "300")
    own = Path(shutil.copy(GOLDEN, tmp_path / "own.safetensors"))
    suspect = tmp_path / "service.toml"
    with serving() as served:
        suspect.write_text(SERVICE.format(url=served.url))
        served.always = deeds.broken
        failed = run_cae("verify", "-s", suspect, "-f", own)
        assert_one_sentence(failed, "run the same command: it goes on", code=1)
        served.always = None
        outcome = run_cae("verify", "-s", suspect, "-f", own)
        assert outcome.code == 0, outcome.err
        assert served.headers[-1]["X-Key"] == SECRET
    sent = f"version 7, as declared; {len(served.asked)} requests with {len(served.images)} images"
    words = (sent, f"{served.url}/v1/models/m:predict", "a client in a process")
    for text in words:
        assert text in outcome.out, text
    offline = run_cae("verify", "-s", suspect, "-f", own, "--offline", "--json")
    assert offline.json()["service"]["sent"] == sum(offline.json()["queries"].values()) + 8
    printed = failed.err + outcome.out + outcome.err + offline.out
    assert SECRET not in printed + "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))


def test_a_run_that_was_killed_goes_on(tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAE_TEST_TOKEN", SECRET)
    own = Path(shutil.copy(GOLDEN, tmp_path / "own.safetensors"))
    suspect = tmp_path / "service.toml"
    with serving() as served:
        suspect.write_text(SERVICE.format(url=served.url).replace("images = 8", "images = 1"))
        served.always = deeds.late
        words = ("verify", "-s", str(suspect), "-f", str(own))
        killed = subprocess.Popen([sys.executable, "-m", "cae_cli", *words], start_new_session=True)
        until = time.monotonic() + 60
        while len(served.asked) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        seen = len(served.images)
        served.always = None
        (log,) = tmp_path.glob("*.answers.jsonl")
        answered = sum(json.loads(line)["event"] == "answered" for line in log.read_text().splitlines())
        verdict = run_cae(*words, "--json").json()
        total = sum(verdict["queries"].values())
        assert 3 <= answered < total
        assert len(served.images) - seen == total - answered
        assert verdict["service"]["sent"] >= len(served.images)
        assert verdict["earlier"]["verifications"] == 0
        assert list(tmp_path.glob("*.answers.jsonl")) == [log]
