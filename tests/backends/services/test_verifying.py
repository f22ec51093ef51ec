"""`verify_suspect` of a service: in a process of its own, counted, logged, gone on with, and silent about secrets."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.errors import CaeError, ModelError, OptionError
from cae_core.files.records import as_json
from cae_core.fingerprint.questions import question_images
from cae_core.models import Predictions
from cae_core.verification.ledger import ledger_of
from cae_core.verification.ledger_lines import read_entries
from cae_core.verification.options import VerificationOptions
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from cae_core.workflows import verify_suspect
from tests.backends.services import service as deeds
from tests.backends.services.service import SECRET, Answer, Handler, Serving, label_of, serving

GOLDEN = Path(__file__).parents[2] / "data" / "fingerprint-0.1.0-calibrated.safetensors"

SERVICE = """[service]
form = "open-inference"
url = "{url}/v2/models/m/infer?key=${{CAE_TEST_KEY}}"
version = "1"
headers = {{Authorization = "Bearer ${{CAE_TEST_TOKEN}}"}}
images = 2
first_wait = 0.001
longest_wait = 0.01
attempts = 2
give_up = 3
seconds = 5
{more}
[contract]
layout = "NHWC"
range = [0, 255]
output = "probabilities"
"""


class Same:
    """The service's rule, asked by us."""

    def predict(self, images: NDArray[Any]) -> Predictions:
        return Predictions(np.array([label_of(image) for image in images], np.int64))


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAE_TEST_TOKEN", SECRET)
    monkeypatch.setenv("CAE_TEST_KEY", SECRET[::-1])


class Case:
    """A fingerprint of the test's own and a service."""

    def __init__(self, served: Serving, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.fingerprint = Path(shutil.copy(GOLDEN, folder / "own.safetensors"))
        self.ledger = ledger_of(self.fingerprint)

    def verify(self, more: str = "", *, options: VerificationOptions | None = None, **given: Any) -> Verdict:  # noqa: ANN401
        (self.folder / "service.toml").write_text(SERVICE.format(url=self.served.url, more=more))
        options = options or VerificationOptions()
        return verify_suspect(self.folder / "service.toml", self.fingerprint, options=options, **given)

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.answers.jsonl"))

    def everything_written(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.jsonl"))


@pytest.fixture
def case(served: Serving, tmp_path: Path) -> Case:
    return Case(served, tmp_path)


def test_the_verdict_is_that_of_the_model_behind_it(case: Case) -> None:
    verdict = case.verify()
    subject = load_calibrated(case.fingerprint)
    asked = verify(Same(), subject, named=verdict.suspect, nonce=bytes.fromhex(verdict.nonce))
    assert [(x.question, x.label) for x in verdict.answers] == [(x.question, x.label) for x in asked.answers]
    told = as_json(verdict)
    queries = sum(verdict.queries.values())
    assert (told["service"]["sent"], told["service"]["versions"]) == (queries, ["1"])
    assert told["service"]["requests"] == len(case.served.asked)
    assert len(case.served.images) == queries  # repeats are asked again
    assert told["suspect"]["name"] == f"{case.served.url}/v2/models/m/infer"
    assert told["containment"]["kind"] == "sandbox" or told["containment"]["kind"] == "limits"
    assert "network for a client" in told["containment"]["layers"] or told["containment"]["kind"] == "limits"
    assert replay_verdict(json.loads(json.dumps(told)), subject).differences == ()
    assert "service" not in as_json(asked)
    assert "versions" not in told["options"]


def test_secrets_reach_the_service_and_nothing_else(case: Case) -> None:
    verdict = case.verify()
    assert case.served.headers[0]["Authorization"] == f"Bearer {SECRET}"
    told = json.dumps(as_json(verdict)) + case.everything_written() + repr(verdict)
    case.served.always = deeds.forbidding
    with pytest.raises(ModelError) as raised:
        case.verify("per_second = 1000")
    told += f"{raised.value!r}{raised.value.__cause__!r}{case.everything_written()}"
    assert SECRET not in told
    assert SECRET[::-1] not in told


def test_an_interrupted_run_goes_on_and_asks_nothing_twice(case: Case) -> None:
    case.verify()  # how much there is
    queries = len(case.served.images)
    shutil.rmtree(case.folder / "gone", ignore_errors=True)
    for path in case.folder.glob("*.jsonl"):
        path.unlink()
    case.served.asked.clear()

    def away(_: Handler, __: Answer) -> bool:
        return len(case.served.asked) > 3 and deeds.broken(_, __)

    case.served.always = away
    with pytest.raises(ModelError, match="run the same command: it goes on"):
        case.verify()
    answered = [image for request in case.served.asked[:3] for image in request]
    before = len(case.served.images)
    (entry,) = read_entries(case.ledger.read_bytes())
    assert not entry.finished
    case.served.always = None
    case.served.asked.clear()
    verdict = case.verify()
    assert verdict.nonce == entry.nonce.hex()
    (entry,) = read_entries(case.ledger.read_bytes())
    assert entry.finished
    assert len(case.logs()) == 1
    assert len(case.served.images) == queries - len(answered)
    assert verdict.service is not None
    assert verdict.service.sent == before + len(case.served.images)
    assert verdict.unanswered == 0
    subject = load_calibrated(case.fingerprint)
    asked = verify(Same(), subject, named=verdict.suspect, nonce=bytes.fromhex(verdict.nonce))
    assert [x.label for x in verdict.answers] == [x.label for x in asked.answers]


def test_a_finished_log_gives_the_verdict_without_the_service(case: Case) -> None:
    verdict = case.verify()
    case.served.asked.clear()
    again = case.verify(offline=True)
    assert case.served.asked == []
    assert again.decision == verdict.decision
    assert (again.nonce, again.containment) == (verdict.nonce, None)
    case.verify()  # and another run is another verification
    assert len(case.logs()) == 2
    case.logs()[0].unlink()
    case.logs()[0].unlink()
    with pytest.raises(OptionError, match="no log of answers"):
        case.verify(offline=True)


def test_the_log_may_lie_elsewhere(case: Case) -> None:
    case.served.always = deeds.broken
    with pytest.raises(ModelError):
        case.verify(answers=case.folder / "kept.jsonl")
    case.served.always = None
    case.verify(answers=case.folder / "kept.jsonl")
    assert case.logs() == []
    assert len(read_entries(case.ledger.read_bytes())) == 1
    with pytest.raises(CaeError, match="another verification"):
        case.verify(answers=case.folder / "kept.jsonl", options=VerificationOptions(claimed_accuracy=0.9))
    first, second = read_entries(case.ledger.read_bytes())
    assert (first.finished, second.withdrawn) == (True, True)


def test_an_image_that_is_refused_is_no_match(case: Case) -> None:
    def picky(handler: Handler, answer: Answer) -> bool:
        first = case.served.asked[0][0]
        return first in case.served.asked[-1] and deeds.refusing(handler, answer)

    case.served.always = picky
    verdict = case.verify()
    assert 1 <= verdict.unanswered <= 2  # its repeat is refused as well


def test_one_by_one_nothing_is_asked_beyond_the_stop(case: Case) -> None:
    fingerprint = load_calibrated(case.fingerprint).fingerprint
    save_calibrated(CalibratedFingerprint(fingerprint=fingerprint), case.fingerprint)
    verdict = case.verify(options=VerificationOptions(sequential=True))
    assert verdict.sequential is not None
    assert len(case.served.images) == sum(verdict.queries.values())
    first = [question_images(fingerprint, [answer.question])[0].tobytes() for answer in verdict.answers][:5]
    assert case.served.images[:5] == first


def test_a_service_that_changes_while_it_is_asked_is_inconclusive(case: Case) -> None:
    def changing(_: Handler, __: Answer) -> bool:
        case.served.version = "2" if len(case.served.asked) > 2 else "1"
        return False

    case.served.always = changing
    verdict = case.verify()
    assert verdict.decision.verdict == "inconclusive"
    assert "2 versions" in verdict.decision.reason
    assert as_json(verdict)["options"]["versions"] == 2
    record = json.loads(json.dumps(as_json(verdict)))
    assert replay_verdict(record, load_calibrated(case.fingerprint)).differences == ()


@pytest.mark.parametrize(
    ("more", "words"), [("most_images = 3", "more than 3 may not"), ("most_seconds = 1", "seconds")]
)
def test_a_limit_ends_the_run_which_can_go_on(more: str, words: str, case: Case) -> None:
    if "seconds" in more:
        case.served.always = deeds.late
    with pytest.raises(ModelError, match=words):
        case.verify(more)
    assert len(case.served.images) < 12
    case.served.always = None
    verdict = case.verify("")
    assert verdict.service is not None
    assert verdict.service.sent == sum(verdict.queries.values())


def test_what_a_service_cannot_have_is_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[dict[str, Any]] = [{"ledger": None}, {"trusted": True}, {"self_check": True}]
    for given in refused:
        with pytest.raises(OptionError, match="needs the ledger"):
            case.verify(**given)
    monkeypatch.delenv("CAE_TEST_TOKEN")
    with pytest.raises(OptionError, match="CAE_TEST_TOKEN is not set"):
        case.verify()
    assert not case.ledger.exists()
    with pytest.raises(OptionError, match="are for services"):
        verify_suspect(case.folder / "m.onnx", case.fingerprint, offline=True)


def test_a_service_is_known_by_address_contract_and_version(case: Case) -> None:
    case.verify()
    case.verify("per_second = 1000")  # the pace is no other suspect
    first, second = read_entries(case.ledger.read_bytes())
    assert first.begun.suspect == second.begun.suspect
    (case.folder / "service.toml").write_text("")
    text = SERVICE.format(url=case.served.url, more="").replace('version = "1"', 'version = "2"')
    (case.folder / "other.toml").write_text(text)
    case.served.version = "2"
    other = verify_suspect(case.folder / "other.toml", case.fingerprint)
    assert other.suspect.sha256 != first.begun.suspect
    assert other.suspect == Suspect(name=other.suspect.name, sha256=other.suspect.sha256)


_ATTEMPTS = """
import os, socket, subprocess, sys

def tried(work):
    try:
        work()
    except OSError:
        return 0
    return 1

attempts = (
    lambda: socket.create_connection(("127.0.0.1", {port})).close(),
    lambda: socket.create_connection(("127.0.0.1", {other})).close(),
    lambda: socket.socket(socket.AF_UNIX),
    lambda: socket.socket().bind(("127.0.0.1", 0)),
    lambda: open({secret!r}).close(),
    lambda: os.listdir({folder!r}),
    lambda: open({written!r}, "w").close(),
    lambda: subprocess.run(["true"]),
)
"""


def test_the_client_reaches_its_port_and_no_file(served: Serving, tmp_path: Path) -> None:
    """Forked, locked as a client is, it tries everything else and tells by its exit code what worked."""
    if sys.platform != "linux":
        pytest.skip("only Linux has these layers")
    (tmp_path / "labels").write_text("1")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(served.url.rpartition(":")[2])
        text = _ATTEMPTS.format(
            port=port,
            other=other.getsockname()[1],
            secret=str(tmp_path / "labels"),
            folder=str(tmp_path),
            written=str(tmp_path / "new"),
        )
        script = (
            "import sys; from pathlib import Path; from cae_core.containment.birth import _locked\n"
            f"from cae_core.opening.readable import readable_for\n{text}\n"
            f"layers = _locked(lambda: readable_for([], device='cpu', ports=({port},)))\n"
            "import json; sys.stdout.write(json.dumps([layers, [tried(work) for work in attempts]]))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    layers, worked = json.loads(done.stdout)
    if not {"landlock", "seccomp"} <= set(layers):
        pytest.skip("this machine has no such layers")
    assert "network for a client" in layers
    assert worked[0] == 1
    assert worked[2:] == [0] * 6
    assert worked[1] == 0 or not _has_landlock_of_ports()


def _has_landlock_of_ports() -> bool:
    from cae_core.containment.linux import syscall

    return syscall(444, None, 0, 1) >= 4


def certificate(folder: Path) -> ssl.SSLContext:
    """Make a key and a certificate of 127.0.0.1, signed by itself, in ``ca.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run(["openssl", *words.split(), *names], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def test_a_service_behind_tls_is_checked(tmp_path: Path) -> None:
    with serving(certificate(tmp_path)) as served:
        case = Case(served, tmp_path)
        (tmp_path / "key.pem").unlink()
        with pytest.raises(ModelError, match="ConnectError"):
            case.verify()
        assert served.asked == []
        verdict = case.verify('certificates = "ca.pem"')
    assert verdict.unanswered == 0
    assert verdict.service is not None
    assert verdict.service.address.startswith("https://127.0.0.1:")
