"""`cae pool list`, `check` and `add`: the tables, and the manifest that is written."""

import pytest

from tests.golden.conftest import Check

_ADD = "cae pool add --data images.npz --split all --pool new.toml --role test"

CASES = {
    "list": "cae pool list --pool calibrate.toml",
    "list, many": "cae pool list --pool pool.toml\ncae pool list --pool pool.toml --all",
    "list, with data": "cae pool list --pool few.toml --data images.npz --split all",
    "list, as JSON": "cae pool list --pool calibrate.toml --json",
    "list, broken": "cae pool list --pool broken.toml --data images.npz --split all",
    "check": "cae pool check --pool judge.toml --data images.npz --split all",
    "check, many": "cae pool check --pool pool.toml --data images.npz --split all",
    "check, as JSON": "cae pool check --pool few.toml --data images.npz --split all --json",
    "check, broken": "cae pool check --pool broken.toml --data images.npz --split all",
    "add": f"{_ADD} source.exact --relation source\n".replace("--role test", "--role source")
    + f"{_ADD} suspects/stranger.exact suspects/clumsy.exact --relation reference --kind independent "
    "--architecture linear --ancestor imagenet --json\n"
    f"{_ADD} suspects/copy.exact --relation surrogate --kind 'hard labels' --parent source",
    "add, contract": f"{_ADD} suspects/stranger.exact --relation reference "
    """--contract 'layout="NHWC", range=[0,255], output="logits", mean=[1.5]'""",
    "add, code": f"{_ADD} suspects/copy.program --relation reference\n"
    f"{_ADD} suspects/copy.program --relation reference --trusted",
    "add, known": f"{_ADD} suspects/stranger.exact --relation reference\n"
    f"{_ADD} suspects/stranger.exact --relation reference\n"
    f"{_ADD} suspects/narrow.exact suspects/missing.exact --relation reference\n"
    f"{_ADD} suspects/copy.exact --relation surrogate --parent nobody",
}


@pytest.mark.parametrize("name", CASES)
def test_pool(name: str, check: Check) -> None:
    check("pools", name, CASES[name])
