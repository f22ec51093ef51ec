"""JSON records: a verdict that is replayed, a seal and its opening, a claim's settings, a judge's case."""

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cae_core.disputes.case import _kept_nonce
from cae_core.disputes.claim import check_consistency, claimed_settings, open_claim
from cae_core.disputes.claim_rerun import rerun_claim, sample_examples
from cae_core.disputes.seal import Seal, make_opening, parse_seal
from cae_core.files.digests import digest_of
from cae_core.files.records import as_json, read_record, readable_json
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from cae_core.workflows import replay_file
from tests.fuzz.commands import command
from tests.fuzz.material import Evidence, make_evidence
from tests.fuzz.mutations import ODD, edited_bytes, edited_value, json_bytes, odd_json
from tests.fuzz.reader import Case, Make, Reader

__all__ = ["CASE", "CLAIM", "OPENING", "SEAL", "VERDICT"]

_COMMANDS = 0.03
_LABELS: tuple[Any, ...] = (-1, -2, -(2**31), 2**31, 0, 3, 4, 9, 3.0, True, None, "3", [], 1e300, 2**63)


@dataclass(frozen=True)
class _Records:
    """Valid records, as JSON, by the fingerprint that they belong to."""

    evidence: Evidence
    verdicts: dict[str, list[Any]]
    seal: Any
    opening: Any
    commitment: str


def _prepare(folder: Path) -> _Records:
    evidence = make_evidence(folder / "evidence")
    verdicts = {name: [_verdict(evidence, name, sequential=False)] for name in evidence.files}
    verdicts["calibrated"].append(_verdict(evidence, "calibrated", sequential=True))
    opening = make_opening(evidence.claimed, claimant="Example Ltd", salt=bytes(32))
    return _Records(evidence, verdicts, as_json(opening.seal()), as_json(opening), opening.seal().commitment)


def _verdict(evidence: Evidence, name: str, *, sequential: bool) -> Any:  # noqa: ANN401 - JSON
    from tests.core.judge_toys import opened

    options = VerificationOptions(sequential=sequential)
    verdict = verify(
        opened(evidence.dispute.copy),
        evidence.subject(name),
        named=Suspect(name="copy.onnx", sha256="ab" * 32),
        options=options,
        nonce=bytes(16),
    )
    return as_json(verdict)


def _parses(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def _content(random: Random, valid: Any, edit: Callable[[Any], tuple[Any, str]]) -> tuple[bytes, str]:  # noqa: ANN401
    """Return a record's bytes, edited as a value, as bytes, or something else altogether; and what was done."""
    kind = random.random()
    if kind < 0.15:
        return edited_bytes(random, json_bytes(valid)), "bytes"
    if kind < 0.2:
        return odd_json(random), "another text"
    edited, what = edit(valid)
    return json_bytes(edited), what


def _replayed(path: Path, fingerprint: Path, *, commands: bool) -> None:
    if commands:
        command("verify", "--replay", path, "-f", fingerprint)
        command("verify", "--replay", path, "-f", fingerprint, "--json")
        command("report", "--verdict", path, "-f", fingerprint, "--json")
    readable_json(replay_file(path, fingerprint).agreed(str(path)))


def _verdict_case(random: Random, records: _Records, folder: Path) -> Case:
    name = random.choice(list(records.verdicts))
    valid = random.choice(records.verdicts[name])

    def edit(value: Any) -> tuple[Any, str]:  # noqa: ANN401 - JSON
        if random.random() < 0.3:
            return _other_answers(random, copy.deepcopy(value)), "answers"
        within = random.choice(((), ("suspect", "fingerprint", "nonce", "options"), ("answers",), ("options",)))
        return edited_value(random, value, within=within)

    content, what = _content(random, valid, edit)
    path = folder / "verdict.json"
    path.write_bytes(content)
    run = partial(_replayed, path, records.evidence.files[name], commands=random.random() < _COMMANDS)
    return Case(run, f"{name}: {what}", _parses(content))


def _other_answers(random: Random, verdict: Any) -> Any:  # noqa: ANN401 - JSON
    """Keep the questions, and change the labels and options from which everything else follows."""
    share = random.choice((0.01, 0.3, 1))
    for answer in verdict["answers"]:
        if random.random() < share:
            answer["label"] = random.choice(_LABELS[:7] if random.random() < 0.5 else _LABELS)
    if random.random() < 0.3:
        verdict["answers"] *= random.choice((2, 50))
    if random.random() < 0.3:
        budgets = (0, -1, 1, 59, 60, 75, 10**9, 2**70, 60.5, "60", None, True)
        verdict["options"]["max_queries"] = random.choice(budgets)
    if random.random() < 0.3:
        verdict["options"]["claimed_accuracy"] = random.choice((0, -1, 1, 2, 0.5, float("nan"), 10**400, 1e-320))
    if random.random() < 0.2:
        verdict["options"]["rule"] = random.choice((0, 1, 2, 3, 99, -1, "1", None, 10**30))
    if random.random() < 0.2:
        verdict["nonce"] = random.choice(("", "00", verdict["nonce"].upper(), "zz", "00" * 10**5, 5, None))
    return verdict


def _opened(records: _Records, seal: Path, opening: Path) -> None:
    given, answer = read_record(seal), read_record(opening)
    digest = records.evidence.dispute.source.digest()
    open_claim(records.evidence.claimed, seal=given, opening=answer, source_sha256=digest)


def _pair(random: Random, records: _Records, folder: Path, seal: bytes, opening: bytes) -> Callable[[], None]:
    paths = folder / "seal.json", folder / "seal.opening.json"
    for path, content in zip(paths, (seal, opening), strict=True):
        path.write_bytes(content)
    del random
    return partial(_opened, records, *paths)


def _seal_case(random: Random, records: _Records, folder: Path) -> Case:
    content, what = _content(random, records.seal, partial(edited_value, random))
    run = _pair(random, records, folder, content, json_bytes(records.opening))
    return Case(run, what, _parses(content))


def _opening_case(random: Random, records: _Records, folder: Path) -> Case:
    """Edit the opening; mostly under a seal that commits to it."""
    content, what = _content(random, records.opening, partial(edited_value, random))
    seal, fits = dict(records.seal), random.random() < 0.8
    if fits and _parses(content):
        try:
            seal["commitment"] = digest_of(json.loads(content))
        except (ValueError, RecursionError):  # it holds what has no digest
            what += " (no commitment)"
    return Case(_pair(random, records, folder, json_bytes(seal), content), what, _parses(content))


def _claim_case(random: Random, records: _Records, folder: Path) -> Case:
    """Edit the settings that a claim was generated with, and the steps that it names."""
    del folder
    claimed, steps = records.evidence.claimed, records.evidence.claimed.steps.copy()
    times = random.choice((1, 1, 2))
    generation, what = edited_value(random, claimed.generation, within=("settings",), times=times)
    if random.random() < 0.3:
        steps[random.randrange(len(steps))] = random.choice((0, -1, 1, 7, 2**31 - 1, -(2**31)))
        what += "; steps"
    edited = dataclasses.replace(claimed, generation=generation, steps=steps)
    return Case(partial(_rerun, records, edited), what)


def _rerun(records: _Records, claimed: Any) -> None:  # noqa: ANN401 - a Fingerprint
    boxes = records.evidence.dispute.claimant_boxes()
    check_consistency(claimed, boxes.source)
    settings = claimed_settings(claimed)
    if settings.iterations <= 100 and not np.any(claimed.steps > 100):  # more is allowed, and takes its time
        rerun_claim(claimed, boxes, sample_examples(claimed, 2, nonce=bytes(16)))


def _case_case(random: Random, records: _Records, folder: Path) -> Case:
    valid = {"commitment": records.commitment, "nonce": "00" * 16}
    content, what = _content(random, valid, partial(edited_value, random))
    (folder / "case.json").write_bytes(content)
    return Case(partial(_kept_nonce, folder, Seal(records.commitment), None), what, _parses(content))


def _changed(name: str, change: Callable[[Any], object]) -> Make:
    def make(_: Random, records: _Records, folder: Path) -> Case:
        value = copy.deepcopy(records.verdicts[name][0])
        change(value)
        (folder / "verdict.json").write_bytes(json_bytes(value))
        run = partial(_replayed, folder / "verdict.json", records.evidence.files[name], commands=True)
        return Case(run, "a failure of the past")

    return make


def _valid(name: str, index: int) -> Make:
    def make(_: Random, records: _Records, folder: Path) -> Case:
        (folder / "verdict.json").write_bytes(json_bytes(records.verdicts[name][index]))
        run = partial(_replayed, folder / "verdict.json", records.evidence.files[name], commands=True)
        return Case(run, "valid")

    return make


def _special(make_special: Callable[[Path], object]) -> Make:
    """Return a case in which something else than a file lies at the verdict's place."""

    def make(_: Random, records: _Records, folder: Path) -> Case:
        path = folder / "verdict.json"
        make_special(path)
        return Case(partial(_replayed, path, records.evidence.files["plain"], commands=False), "no file", parses=False)

    return make


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def _pipe(path: Path) -> None:
    import os

    os.mkfifo(path)


def _linked(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def _valid_pair(random: Random, records: _Records, folder: Path) -> Case:
    seal = json_bytes(records.seal)
    parse_seal(records.seal, "the seal")
    return Case(_pair(random, records, folder, seal, json_bytes(records.opening)), "valid")


def _valid_claim(_: Random, records: _Records, folder: Path) -> Case:
    del folder
    return Case(partial(_rerun, records, records.evidence.claimed), "valid")


def _claim_with(**settings: Any) -> Make:  # noqa: ANN401 - of different types
    def make(_: Random, records: _Records, folder: Path) -> Case:
        del folder
        claimed = records.evidence.claimed
        generation = {**claimed.generation, "settings": {**claimed.generation["settings"], **settings}}
        return Case(
            partial(_rerun, records, dataclasses.replace(claimed, generation=generation)), "a failure of the past"
        )

    return make


def _deep_opening(random: Random, records: _Records, folder: Path) -> Case:
    value: Any = 1
    for _ in range(980):
        value = [value]
    content = json_bytes({**records.opening, "claimant": value})
    return Case(_pair(random, records, folder, json_bytes(records.seal), content), "a failure of the past")


VERDICT = Reader(
    name="verdict",
    prepare=_prepare,
    make=_verdict_case,
    failures={
        "half a surrogate pair in the name": _changed("plain", lambda x: x["suspect"].update(name="\ud800")),
        "a pipe": _special(_pipe),
        "a link to a device": _special(_linked("/dev/zero")),
        "three gigabytes": _special(_sparse),
        "labels of 400 digits": _changed("plain", lambda x: x["answers"][0].update(label=10**400)),
        "an accuracy of 400 digits": _changed("plain", lambda x: x["options"].update(claimed_accuracy=10**400)),
    },
    valid={
        **{name: _valid(name, 0) for name in ("plain", "calibrated", "weighed", "grouped", "errors")},
        "sequential": _valid("calibrated", 1),
    },
)

SEAL = Reader(name="seal", prepare=_prepare, make=_seal_case, valid={"a seal": _valid_pair})

OPENING = Reader(
    name="opening",
    prepare=_prepare,
    make=_opening_case,
    failures={"deep": _deep_opening},
    valid={"an opening": _valid_pair},
)

CLAIM = Reader(
    name="claim",
    prepare=_prepare,
    make=_claim_case,
    failures={
        **{f"eps is {ODD[i]!a}"[:60]: _claim_with(eps=ODD[i]) for i in range(3, 18)},
        "a radius beyond every number": _claim_with(eps=1e308, norm="l2"),
        "steps for ever": _claim_with(iterations=10**15),
        "examples for ever": _claim_with(count=10**15),
    },
    valid={"a claim": _valid_claim},
)

CASE = Reader(name="case", prepare=_prepare, make=_case_case)
