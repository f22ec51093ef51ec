"""The folder that the cases start from, made once, and a copy of it for each."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.golden.authority import add_timestamp
from tests.golden.expected import check_golden
from tests.golden.playing import play
from tests.golden.world import write_world

Check: TypeAlias = Callable[[str, str, str], None]
"""Takes the concept, the case and its commands."""

_GENERATE = "cae generate --preset perturbed --split all --eps 50/255 --count 30 --iterations 20 --tau 0.6"
_CALIBRATE = "cae calibrate --fpr 0.1 --fnr 0.1"
_JUDGE = "cae judge --source source.exact --data judge.npz --split all --nonce 0011aaff"

PREPARED = f"""
{_GENERATE} --pool pool.toml --data images.npz --output plain.safetensors
{_GENERATE} --pool pool.toml --data many.npz --akh 6 --output plain-akh.safetensors
{_GENERATE} --pool pretrained.toml --data images.npz --output plain-pretrained.safetensors
{_CALIBRATE} --pool calibrate.toml --fingerprint plain.safetensors --output fixed.safetensors
{_CALIBRATE} --pool strong.toml --fingerprint plain.safetensors --output strong.safetensors
{_CALIBRATE} --pool pool.toml --fingerprint plain.safetensors --score llr --output llr.safetensors
{_CALIBRATE} --pool pool.toml --fingerprint plain.safetensors --keep 20 --output screened.safetensors
{_CALIBRATE} --pool calibrate.toml --fingerprint plain.safetensors --parametric --output parametric.safetensors
{_CALIBRATE} --pool calibrate.toml --fingerprint plain-akh.safetensors --output akh.safetensors
{_CALIBRATE} --pool calibrate.toml --fingerprint plain-pretrained.safetensors --output pretrained.safetensors
cae calibrate --fpr 0.01 --fnr 0.01 --pool calibrate.toml --fingerprint plain.safetensors --output strict.safetensors
cae seal plain.safetensors --output seal.json --claimant "Example Ltd" --fpr 0.1
{_JUDGE} --claim plain.safetensors --pool judge.toml --seal seal.json --workdir case --seals 1 -s suspects/labels.exact
"""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models, a fingerprint and its calibrations."""
    folder = tmp_path_factory.mktemp("golden")
    write_world(folder)
    play(folder, PREPARED)
    add_timestamp(folder)
    return folder


@pytest.fixture
def check(prepared: Path, tmp_path: Path) -> Check:
    """Return the function that plays a case in a folder of its own, and compares what comes out with its golden."""

    def run(concept: str, case: str, commands: str) -> None:
        folder = tmp_path / "case"
        # links will do: the program puts a new file in the place of an old one
        shutil.copytree(prepared, folder, copy_function=os.link)
        check_golden(concept, case, play(folder, commands))

    return run
