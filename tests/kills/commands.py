"""The commands that are killed, and what of their result must be the same however often they were."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core.disputes.seal import parse_opening, parse_seal

__all__ = ["COMMANDS", "Command"]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command and what it makes.

    Attributes:
        arguments: of `cae`; they may begin with a whole run that is killed, and so must allow to be given again.
        result: takes the folder and what was printed, and returns what must be the same after any kills.
        done_already: what a rerun may say, and then changes nothing, because the killed run was through.
        asks: whether a suspect is asked, which must leave a trace.
    """

    arguments: str
    result: Callable[[Path, str], Any]
    done_already: str = ""
    asks: bool = False


def _bytes_of(*patterns: str) -> Callable[[Path, str], Any]:
    def result(folder: Path, _printed: str) -> Any:  # noqa: ANN401
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    return result


def _compared(folder: Path, _printed: str) -> Any:  # noqa: ANN401
    record = json.loads((folder / "compared/comparison.json").read_bytes())
    return [record["outcomes"], record["choices"], _bytes_of("compared/answers/*/*.safetensors")(folder, "")]


_DECIDING = ("verdict", "outcome", "p_value", "p_adjusted", "caeacc", "matches", "asked", "threshold", "references")


def _deciding(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in _DECIDING if name in record}


def _verdict(_folder: Path, printed: str) -> Any:  # noqa: ANN401
    return _deciding(json.loads(printed))


def _judgement(folder: Path, printed: str) -> Any:  # noqa: ANN401
    (path,) = (folder / "case").glob("judgement-*.json")
    record = json.loads(path.read_bytes())
    kept = [_deciding(record), _deciding(record["verification"]), record["nonce"], record["regeneration"]]
    assert _deciding(json.loads(printed)) == kept[0]
    return json.dumps([*kept, _bytes_of("case/fingerprint.safetensors")(folder, "")])  # with the keys in their order


def _sealed(folder: Path, _printed: str) -> Any:  # noqa: ANN401
    record = json.loads((folder / "claim.opening.json").read_bytes())
    seal = parse_seal(json.loads((folder / "claim.json").read_bytes()), "claim.json")
    assert parse_opening(record, seal, "claim.opening.json").seal() == seal
    return {name: value for name, value in record.items() if name != "salt"}


COMMANDS = {
    "generate": Command(
        arguments="generate --preset perturbed --split all --eps 50/255 --count 30 --iterations 40 --check-every 0 "
        "--batch 6 --tau 0.6 --pool pool.toml --data images.npz --output new.safetensors",
        result=_bytes_of("new.safetensors"),
    ),
    "calibrate": Command(
        arguments="calibrate --fpr 0.1 --fnr 0.1 --pool calibrate.toml --fingerprint plain.safetensors "
        "--output calibrated.safetensors",
        result=_bytes_of("calibrated.safetensors"),
    ),
    "pool train": Command(
        arguments="pool train plan.toml --pool made/pool.toml --workers 2 --test-data judge.npz",
        result=_bytes_of("made/pool.toml", "made/**/*.onnx", "made/state/*.safetensors"),
    ),
    "verify": Command(
        arguments="verify --suspect suspects/copy.exact --fingerprint fixed.safetensors --trusted --json",
        result=_verdict,
        asks=True,
    ),
    "judge": Command(
        arguments="judge --claim plain.safetensors --seal seal.json --source source.exact --pool judge.toml "
        "--data judge.npz --split all --workdir case --seals 1 --suspect suspects/copy.exact --nonce 0011aaff "
        "--trusted --json",
        result=_judgement,
    ),
    "study": Command(
        arguments="study study.toml --output out",
        result=_bytes_of("out/*.csv", "out/steps/*/*.safetensors"),
    ),
    "compare": Command(
        arguments="compare --pool pool.toml --data images.npz --queries 5,15 --fpr 0.1 --method akh --method random "
        "--method ours:preset=perturbed,eps=0.2,iterations=20 --output compared",
        result=_compared,
    ),
    "seal": Command(
        arguments='seal plain.safetensors --output claim.json --claimant "Example Ltd" --fpr 0.1 --json',
        result=_sealed,
        done_already="there is a seal already",
    ),
}
"""By what the table calls them."""
