"""The client of a service, whatever the service does: bounded, counted, silent about secrets."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cae_backends.services.description import Description, read_description
from cae_backends.services.model import ServiceModel
from cae_core.contract import Contract, Task
from cae_core.errors import CaeError
from cae_core.models import NO_ANSWER
from tests.backends.services import service as deeds
from tests.backends.services.service import SECRET, Deed, Serving, label_of

TASK = Task(classes=3, names=("cat", "dog", "naïve ünïcode"))
CONTRACT = Contract(layout="NHWC", range=(0, 255), output="probabilities")
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), np.uint8)
LABELS = [label_of(image) for image in IMAGES]

FAST = {"first_wait": 0.001, "longest_wait": 0.01, "seconds": 5}

OIP = 'form = "open-inference"\nurl = "{url}/v2/models/m/infer"\n'
TFS = 'form = "tensorflow-serving"\nurl = "{url}/v1/models/m:predict"\n'
PNG = """form = "json"
url = "{url}/classify"
answer = "results[].labels[].[name, p]"
kind = "top"
body = {{images = [{{b64 = "{{png}}"}}], top = 3}}
"""
ONE_PNG = PNG.replace("results[].labels[].[name, p]", "results[0].labels[*].[name, p]")
MANY_PNG = PNG.replace("results[].labels[].[name, p]", "results[*].labels[*].[name, p]") + "images = 3\n"
SCORES = '[contract]\nlayout = "NHWC"\nrange = [0, 255]\noutput = "probabilities"\n'
NAMES = '[contract]\noutput = "labels"\nclass_names = ["cat", "dog", "naïve ünïcode"]\n'


def described(text: str, served: Serving, tmp_path: Path, contract: str = SCORES, **fields: float) -> ServiceModel:
    lines = "".join(f"{name} = {value}\n" for name, value in {**FAST, **fields}.items())
    path = tmp_path / "service.toml"
    path.write_text(f"[service]\n{text.format(url=served.url)}{lines}{contract}", encoding="utf-8")
    return opened(read_description(str(path), contract=None, task=TASK))


def opened(description: Description) -> ServiceModel:
    _OPEN.append(ServiceModel(description, secrets={"TOKEN": SECRET}))
    return _OPEN[-1]


_OPEN: list[ServiceModel] = []


@pytest.fixture(autouse=True)
def closed(served: Serving) -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


class TestForms:
    @pytest.mark.parametrize(("text", "contract"), [(OIP, SCORES), (TFS, SCORES), (ONE_PNG, NAMES), (MANY_PNG, NAMES)])
    def test_each_gives_the_labels_and_asks_every_image_once(
        self, text: str, contract: str, served: Serving, tmp_path: Path
    ) -> None:
        asked = described(text, served, tmp_path, contract).ask(IMAGES)
        assert asked.labels.tolist() == LABELS
        assert asked.reached.all()
        assert sorted(served.images) == sorted(image.tobytes() for image in IMAGES)
        assert (asked.requests, asked.sent) == (len(served.asked), len(IMAGES))
        assert asked.versions == (("1",) if text == OIP else ())
        if contract == SCORES:
            assert asked.scores is not None
            assert asked.scores.argmax(axis=1).tolist() == LABELS

    @pytest.mark.parametrize("images", [1, 2, 7, 100])
    def test_requests_hold_as_many_images_as_they_may(self, images: int, served: Serving, tmp_path: Path) -> None:
        asked = described(TFS, served, tmp_path, images=images, concurrency=2).ask(IMAGES)
        assert asked.labels.tolist() == LABELS
        assert max(len(request) for request in served.asked) == min(images, len(IMAGES))
        assert asked.requests == -(-len(IMAGES) // images)


class TestMisbehaviour:
    @pytest.mark.parametrize(
        "deed",
        [deeds.busy, deeds.busy_until_long_ago, deeds.broken, deeds.cutting, deeds.no_json, deeds.too_deep],
    )
    def test_what_may_pass_is_asked_again_and_counted(self, deed: Deed, served: Serving, tmp_path: Path) -> None:
        served.deeds = [deed, deed]
        asked = described(OIP, served, tmp_path).ask(IMAGES)
        assert asked.labels.tolist() == LABELS
        assert asked.requests == asked.sent == len(served.asked) == len(IMAGES) + 2

    @pytest.mark.parametrize("deed", [deeds.asleep, deeds.slow])
    def test_nobody_waits_for_a_slow_one(self, deed: Deed, served: Serving, tmp_path: Path) -> None:
        served.deeds = [deed]
        begin = time.monotonic()
        asked = described(OIP, served, tmp_path, seconds=0.2).ask(IMAGES[:1])
        assert asked.labels.tolist() == LABELS[:1]
        assert time.monotonic() - begin < 5
        assert asked.requests == 2

    def test_one_that_stays_away_is_given_up(self, served: Serving, tmp_path: Path) -> None:
        served.always = deeds.broken
        asked = described(OIP, served, tmp_path, attempts=2, give_up=3).ask(IMAGES)
        assert (asked.labels == NO_ANSWER).all()
        assert not asked.reached.any()
        assert asked.requests == len(served.asked) == 2  # the first image, and then nobody is bothered
        assert asked.why == "status 500"
        served.always, served.asked = None, []
        model = described(OIP, served, tmp_path, attempts=2, give_up=3)
        model.ask(IMAGES[:1])
        served.always = deeds.broken
        assert model.ask(IMAGES).requests == 6  # three images twice, of one that has answered before

    def test_what_is_refused_together_is_asked_alone(self, served: Serving, tmp_path: Path) -> None:
        def picky(handler: deeds.Handler, answer: deeds.Answer) -> bool:
            if served.asked[-1] and IMAGES[2].tobytes() in served.asked[-1]:
                return deeds.refusing(handler, answer)
            return False

        served.always = picky
        asked = described(TFS, served, tmp_path, images=4).ask(IMAGES)
        assert asked.labels.tolist() == [NO_ANSWER if i == 2 else label for i, label in enumerate(LABELS)]
        assert asked.reached.tolist() == [i != 2 for i in range(7)]
        assert asked.requests == len(served.asked) == 6

    @pytest.mark.parametrize(
        ("deed", "words"),
        [
            (deeds.elsewhere, "redirects to another host"),
            (deeds.bomb, "more than 67108864 bytes"),
            (deeds.forbidding, "status 403"),
            (deeds.fewer, "."),
        ],
    )
    def test_what_will_not_pass_ends_it_in_one_sentence(
        self, deed: Deed, words: str, served: Serving, tmp_path: Path
    ) -> None:
        served.always = deed
        model = described(OIP + 'headers = {{Authorization = "Bearer ${{TOKEN}}"}}\n', served, tmp_path)
        asked = model.ask(IMAGES)
        assert words in asked.fault
        assert not asked.reached.any()
        assert asked.requests == len(served.asked) == 1
        assert SECRET not in repr(asked)
        assert served.headers[0]["Authorization"] == f"Bearer {SECRET}"

    def test_what_was_answered_before_is_kept_and_all_is_counted(self, served: Serving, tmp_path: Path) -> None:
        served.deeds = [deeds.fine, deeds.busy, deeds.fine, deeds.busy, deeds.forbidding]
        asked = described(OIP, served, tmp_path).ask(IMAGES)
        assert asked.reached.tolist() == [True, True, False, False, False, False, False]
        assert asked.labels[:2].tolist() == LABELS[:2]
        assert asked.requests == len(served.asked) == 5
        assert "status 403" in asked.fault

    def test_a_redirect_on_the_same_host_and_a_packed_answer_are_taken(self, served: Serving, tmp_path: Path) -> None:
        served.deeds = [deeds.nearby, deeds.packed]
        assert described(OIP, served, tmp_path).ask(IMAGES).labels.tolist() == LABELS

    def test_the_pace_is_kept(self, served: Serving, tmp_path: Path) -> None:
        begin = time.monotonic()
        described(OIP, served, tmp_path, per_second=50, concurrency=4).ask(IMAGES)
        assert time.monotonic() - begin >= 6 / 50


@pytest.mark.parametrize(
    ("text", "contract", "words"),
    [
        (OIP.replace("{url}", "https://me:secret@example.org"), SCORES, "by an environment variable"),
        (OIP.replace("{url}", "ftp://example.org"), SCORES, "must be such as https://"),
        (OIP.replace("{url}", "http://example.org") + 'headers = {{A = "${{TOKEN}}"}}\n', SCORES, "not sent over http"),
        (OIP + "images = 0\n", SCORES, "images must be from 1"),
        (OIP + "imagez = 1\n", SCORES, "unknown field 'imagez'"),
        (OIP.replace("open-inference", "grpc"), SCORES, "must be one of open-inference"),
        (OIP + 'headers = {{Host = "a"}}\n', SCORES, "'Host' cannot be set"),
        (OIP + 'headers = {{A = "a\\nb"}}\n', SCORES, "'A' cannot be set"),
        (OIP, "", "has no table"),
        (OIP, NAMES, "does not say layout"),
        (PNG.replace("{{png}}", "png"), NAMES, "no place for the image"),
        (PNG.replace("[{{b64", "{{b64").replace("}}],", "}},") + "images = 2\n", NAMES, "no list that holds"),
        (PNG.replace("results[]", "results[["), NAMES, "no JMESPath"),
        (PNG.replace('kind = "top"', 'kind = "scores"'), NAMES, "do not go together"),
    ],
)
def test_a_wrong_description_is_one_sentence(
    text: str, contract: str, words: str, served: Serving, tmp_path: Path
) -> None:
    with pytest.raises(CaeError, match=words.replace("[", r"\[")) as raised:
        described(text, served, tmp_path, contract)
    assert "\n" not in str(raised.value)
    assert served.asked == []


def test_an_address_says_its_form_and_never_its_contract(served: Serving) -> None:
    found = read_description(f"{served.url}/v2/models/m/infer?key=a", contract=CONTRACT, task=TASK)
    assert (found.form, found.address) == ("open-inference", f"{served.url}/v2/models/m/infer")
    assert opened(found).ask(IMAGES).labels.tolist() == LABELS
    with pytest.raises(CaeError, match="never guessed"):
        read_description(f"{served.url}/v2/models/m/infer", contract=None, task=TASK)
    with pytest.raises(CaeError, match="does not say how it is asked") as raised:
        read_description(f"{served.url}/classify?key=hidden", contract=CONTRACT, task=TASK)
    assert "hidden" not in str(raised.value)
