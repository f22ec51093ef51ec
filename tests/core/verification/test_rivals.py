"""A suspect of several contracts: each is asked the same, and what is said holds by all of them."""

import json
from dataclasses import dataclass

import pytest

from cae_core.arrays import Images
from cae_core.contract import Contract
from cae_core.errors import OptionError, VerdictError
from cae_core.files.records import as_json
from cae_core.models import Predictions
from cae_core.verification.options import VerificationOptions
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from tests.core.suspects import NONCE, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=40)
SUBJECT = paired(FINGERPRINT, toy_calibration(FINGERPRINT, range(19), range(21, 41)))
PLAIN = Contract(layout="NHWC", range=(0, 1), output="logits")
BYTES = Contract(layout="NHWC", range=(0, 255), output="logits")


@dataclass
class By:
    """The suspect, asked by a contract."""

    contract: Contract
    matches: int
    wrong_probes: int = 0

    def predict(self, images: Images) -> Predictions:
        return matching(FINGERPRINT, self.matches, wrong_probes=self.wrong_probes).predict(images)


def judged(first: By, *rivals: By, sequential: bool = False) -> Verdict:
    named, options = Suspect(name="m.onnx", sha256="ab"), VerificationOptions(sequential=sequential)
    return verify(first, SUBJECT, named=named, nonce=NONCE, rivals=rivals, options=options)


def test_where_all_accuse_the_largest_p_counts() -> None:
    verdict = judged(By(PLAIN, 40), By(BYTES, 30))
    assert verdict.decision.verdict == "surrogate"
    assert verdict.caeacc.matches == 30
    assert verdict.occasion is not None
    assert verdict.occasion.contract is not None
    assert verdict.occasion.contract.table == BYTES.table()
    assert [rival.table for rival in verdict.occasion.rivals] == [PLAIN.table()]


def test_where_all_call_it_independent_the_largest_p_of_that_side_counts() -> None:
    verdict = judged(By(PLAIN, 3), By(BYTES, 12))
    assert verdict.decision.verdict == "independent"
    assert verdict.caeacc.matches in (3, 12)
    assert verdict.decision.p_value_surrogate == max(
        judged(By(contract, matches)).decision.p_value_surrogate or 0 for contract, matches in ((PLAIN, 3), (BYTES, 12))
    )


def test_one_that_is_inconclusive_keeps_the_others_from_saying_anything() -> None:
    for models in ((By(PLAIN, 40), By(BYTES, 20)), (By(PLAIN, 20), By(BYTES, 40)), (By(PLAIN, 40), By(BYTES, 40, 50))):
        verdict = judged(*models)
        assert verdict.decision.verdict == "inconclusive", verdict.decision.reason


def test_accused_by_one_and_cleared_by_another_is_told() -> None:
    with pytest.raises(VerdictError, match="State its contract"):
        judged(By(PLAIN, 40), By(BYTES, 2))


def test_the_record_names_the_rivals_and_is_derived_again() -> None:
    verdict = judged(By(PLAIN, 40), By(BYTES, 30))
    record = json.loads(json.dumps(as_json(verdict)))
    assert [rival["sha256"] for rival in record["rivals"]] == [PLAIN.digest]
    again = replay_verdict(record, SUBJECT)
    assert not again.differences
    assert again.verdict.occasion == verdict.occasion
    assert "rivals" not in as_json(judged(By(PLAIN, 40)))
    record["rivals"][0]["sha256"] = "00" * 32
    with pytest.raises(VerdictError, match="SHA-256"):
        replay_verdict(record, SUBJECT)


def test_one_by_one_is_refused() -> None:
    with pytest.raises(OptionError, match="--sequential asks by one"):
        judged(By(PLAIN, 40), By(BYTES, 30), sequential=True)
