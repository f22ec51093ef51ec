"""What each command says where it cannot do its work; exit codes 1 and 2, nothing on stdout, nothing written."""

import pytest

from tests.golden.conftest import Check

_GENERATE = "cae generate --preset perturbed --data images.npz --split all --output new.safetensors"
_JUDGE = (
    "cae judge --claim plain.safetensors --seal seal.json --source source.exact --pool judge.toml --data judge.npz "
    "--split all --workdir case -s suspects/copy.exact"
)

CASES = {
    "generate": f"{_GENERATE} --pool missing.toml\n"
    f"{_GENERATE} --surrogates generate\n"
    f"{_GENERATE} --pool pool.toml --eps 0.001\n"
    f"{_GENERATE} --pool pool.toml --eps nonsense\n"
    f"{_GENERATE} --pool pool.toml --tau 2\n"
    f"{_GENERATE} --pool pool.toml --preset none\n"
    f"{_GENERATE} --pool pool.toml --eps 1/255 --iterations 2 --tau 0.99\n"
    f"{_GENERATE} --source calibrate/copy-00.exact --pool pool.toml\n"
    f"{_GENERATE} --source suspects/constant.exact --surrogates generate --references judge/generate\n"
    f"{_GENERATE} --source suspects/copy.program --surrogates generate --references judge/generate\n"
    "cae generate --data missing.npz --pool pool.toml",
    "generate, a copy among the references": f"{_GENERATE} --source source.exact "
    "--surrogates judge/generate/copy-00.exact --references suspects/twin.exact "
    "--references judge/generate/other-00.exact",
    "calibrate": "cae calibrate --fingerprint missing.safetensors --pool pool.toml\n"
    "cae calibrate --fingerprint plain.safetensors\n"
    "cae calibrate --fingerprint plain.safetensors --pool pool.toml --fpr 0\n"
    "cae calibrate --fingerprint plain.safetensors --pool pool.toml --score best\n"
    "cae calibrate --fingerprint plain.safetensors --pool pool.toml --score llr --parametric\n"
    "cae calibrate --fingerprint plain.safetensors --pool pool.toml --keep 99\n"
    "cae calibrate --fingerprint plain.safetensors --pool calibrate.toml --score llr\n"
    "cae calibrate --fingerprint plain.safetensors --pool calibrate.toml --keep 5\n"
    "cae calibrate --fingerprint plain.safetensors --references generate/other-00.exact\n"
    "cae calibrate --fingerprint plain.safetensors --references suspects/random.exact\n"
    "cae calibrate --fingerprint plain.safetensors --references suspects/narrow.exact\n"
    "cae calibrate --fingerprint plain.safetensors --pool judge.toml\n"
    "cae calibrate --fingerprint plain.safetensors --references judge/calibrate/other-03.exact "
    "--references suspects/converted.exact\n"
    "cae calibrate --fingerprint plain.safetensors --references suspects/twin.exact --pool pool.toml",
    "verify": "cae verify\n"
    "cae verify -s missing.exact -f plain.safetensors\n"
    "cae verify -s pool.toml -f plain.safetensors\n"
    "cae verify -s model.pickle -f plain.safetensors\n"
    "cae verify -s broken.exact -f plain.safetensors\n"
    "cae verify -s suspects/copy.program -f plain.safetensors\n"
    "cae verify -s suspects/narrow.exact -f plain.safetensors\n"
    "cae verify -s suspects/copy.exact -f missing.safetensors\n"
    "cae verify -s suspects/copy.exact -f images.npz\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --max-queries 20\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --claimed-accuracy 2\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --nonce xyz\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --cost 1\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --ledger x --no-ledger\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --ledger suspects\n"
    "cae verify -s suspects/copy.exact -f plain.safetensors --contract 'layout=\"NHWC\"'\n"
    "cae verify -s suspects/copy.exact -f strict.safetensors --sequential\n"
    "cae verify -s suspects/copy.exact -f llr.safetensors --sequential\n"
    "cae verify -s suspects/copy.exact -f parametric.safetensors --sequential\n"
    "cae verify --replay pool.toml -f plain.safetensors\n"
    "cae verify --replay seal.json -f plain.safetensors\n"
    "cae verify --replay missing.json -f plain.safetensors",
    "report": "cae report --verdict missing.json -f plain.safetensors\n"
    "cae report --verdict seal.json -f plain.safetensors\n"
    "cae report --verdict seal.json -f plain.safetensors --output seal.json\n"
    "cae report --verdict seal.json -f plain.safetensors --examples 101",
    "seal": "cae seal missing.safetensors --output new.json\n"
    "cae seal plain.safetensors --fpr 2 --output new.json\n"
    "cae seal plain.safetensors --max-queries 3 --output new.json\n"
    "cae seal plain.safetensors --output seal.json",
    "judge": "\n".join(
        [
            f"{_JUDGE} --seals 0",
            f"{_JUDGE} --seals 1 --fpr 2",
            f"{_JUDGE} --seals 1 --nonce xyz",
            f"{_JUDGE} --seals 1 --suspect-since yesterday",
            f"{_JUDGE} --seals 1 --timestamp seal.tsr",
            f"{_JUDGE} --seals 1 --timestamp missing.tsr --tsa-certificate root.pem",
            f"{_JUDGE} --seals 1 --timestamp seal.json --tsa-certificate root.pem",
            f"{_JUDGE} --seals 1 --signature seal.json",
            f"{_JUDGE} --seals 1 --claimant-key root.pem",
            f"{_JUDGE} --seals 1 --opening seal.json",
            f"{_JUDGE} --seals 1 --opening missing.json",
            f"{_JUDGE} --seals 1 --claimant-pool judge.toml",
            f"{_JUDGE} --seals 1 --claimant-pool pool.toml --sample 0",
            f"{_JUDGE} --seals 1 --claim plain-akh.safetensors",
            f"{_JUDGE} --seals 1 -s suspects/missing.exact",
            f"{_JUDGE} --seals 1 --pool broken.toml",
            f"{_JUDGE} --seals 1 --pool missing.toml",
        ]
    ),
    "inspect": "cae inspect missing.safetensors\ncae inspect images.npz\ncae inspect empty.fingerprint",
    "pool": "cae pool list --pool missing.toml\ncae pool check --pool pool.toml --data missing.npz\n"
    "cae pool list --pool seal.json\n"
    "cae pool add suspects/copy.exact --pool new.toml --data images.npz --role judge --relation surrogate",
    "program": "cae --version\ncae nonsense\ncae verify --qqq",
}


@pytest.mark.parametrize("name", CASES)
def test_errors(name: str, check: Check) -> None:
    check("errors", name, CASES[name])
