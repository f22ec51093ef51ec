"""`cae seal` and `cae judge`: what is sealed, and every outcome of a case."""

import pytest

from tests.golden.conftest import Check

_EVIDENCE = "--timestamp seal.tsr --tsa-certificate root.pem --suspect-since 2200-01-01"


def judged(suspect: str, options: str = "", *, pool: str = "judge", seals: int = 1) -> str:
    """Return the commands that print a judgement as a table and, once more, as JSON."""
    command = (
        "cae judge --claim plain.safetensors --seal seal.json --source source.exact --data judge.npz --split all "
        f"--pool {pool}.toml --nonce 0011aaff --workdir case --seals {seals} -s {suspect} {options}"
    )
    return f"{command}\n{command} --json"


def sealed(fingerprint: str, options: str = "") -> str:
    """Return the commands that seal, and print it as a table and, for another seal, as JSON."""
    command = f"cae seal {fingerprint}.safetensors {options}"
    return f"{command} --output new.json\n{command} --output other.json --json"


_CLAIM = "cae judge --seal new.json --source source.exact --data judge.npz --split all --nonce 00 --workdir new"

_PROGRAM = (
    "cae generate --preset perturbed --trusted --source suspects/copy.program "
    "--surrogates judge/generate/copy-00.exact --references judge/generate/other-00.exact "
    "--references judge/generate/other-01.exact --data images.npz "
    "--split all --eps 50/255 --count 4 --iterations 20 --tau 0.3 --output new.safetensors"
)

CASES = {
    "sealed": sealed("plain"),
    "sealed, calibrated": sealed("fixed", "--claimant 'Ünïcode & Söhne'"),
    "sealed, all options": sealed("llr", "--claimant Example --fpr 0.02 --max-queries 120"),
    "sealed, a source that runs code": f"{_PROGRAM}\n{sealed('new')}",
    "upheld": judged("suspects/copy.exact", _EVIDENCE),
    "regenerated": judged("suspects/copy.exact", _EVIDENCE).replace("--workdir case", "--workdir new"),
    "upheld, replayed": judged("suspects/copy.exact", f"{_EVIDENCE} --claimant-pool pool.toml --sample 3"),
    "upheld, two seals": judged("suspects/copy.exact", _EVIDENCE, seals=2),
    "rejected": judged("suspects/stranger.exact", _EVIDENCE),
    "rejected, undated": judged("suspects/stranger.exact"),
    "weak copy": judged("suspects/weak.exact", _EVIDENCE),
    "neither kind": judged("suspects/weak.exact", _EVIDENCE, pool="judge-strong"),
    "undated": judged("suspects/copy.exact"),
    "not known since when": judged("suspects/copy.exact", _EVIDENCE.replace("--suspect-since 2200-01-01", "")),
    "older suspect": judged("suspects/copy.exact", _EVIDENCE.replace("2200", "2001")),
    "wrong input": judged("suspects/random.exact", _EVIDENCE),
    "refusing": judged("suspects/refusing.exact", _EVIDENCE),
    "extrapolated": judged("suspects/clumsy.exact", _EVIDENCE),
    "claimed accuracy": judged("suspects/stranger.exact", f"{_EVIDENCE} --claimed-accuracy 0.999"),
    "other settings": judged("suspects/copy.exact", f"{_EVIDENCE} --eps 40/255 --tau 0.5 --count 20 --iterations 30"),
    "too few references": judged("suspects/copy.exact", _EVIDENCE, pool="few"),
    "too many seals": judged("suspects/copy.exact", _EVIDENCE, seals=3),
    "too low a rate": judged("suspects/copy.exact", f"{_EVIDENCE} --fpr 0.01"),
    "the judge's own model": judged("judge/calibrate/other-03.exact", _EVIDENCE),
    "the judge's own model, converted": judged("suspects/converted.exact", _EVIDENCE),
    "the claimant's models": judged("suspects/copy.exact", _EVIDENCE, pool="claimants"),
    "the judge's source, converted": judged("suspects/copy.exact", _EVIDENCE, pool="sourced"),
    "shared ancestor": "cae seal plain-pretrained.safetensors --output new.json\n"
    f"{_CLAIM} --claim plain-pretrained.safetensors --pool judge.toml --seals 1 -s suspects/copy.exact --json",
    "likelihood ratio": "cae seal llr.safetensors --output new.json\n"
    f"{_CLAIM} --claim llr.safetensors --pool judge-screen.toml --seals 1 -s suspects/copy.exact --json",
    "budget": "cae seal plain-akh.safetensors --output new.json --fpr 0.1 --max-queries 90\n"
    f"{_CLAIM} --claim plain-akh.safetensors --pool judge.toml --seals 1 -s suspects/copy.exact --json",
    "another claim": "cae seal plain.safetensors --output new.json\n"
    f"{_CLAIM} --claim plain-akh.safetensors --pool judge.toml --seals 1 -s suspects/copy.exact",
    "another source": judged("suspects/copy.exact").replace("--source source.exact", "--source suspects/copy.exact"),
    "another case": "cae seal plain-akh.safetensors --output new.json\n"
    f"{_CLAIM} --claim plain-akh.safetensors --pool judge.toml --seals 1 -s suspects/copy.exact".replace(
        "new ", "case "
    ),
    "another nonce": judged("suspects/stranger.exact").replace("0011aaff", "00"),
}


@pytest.mark.parametrize("name", CASES)
def test_dispute(name: str, check: Check) -> None:
    check("disputes", name, CASES[name])
