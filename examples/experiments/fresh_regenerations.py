"""How fresh is a judge's regeneration? Several nonces, of all his images and of the half that each nonce draws.

    cae pool train --data digits --role generate --role test --surrogates 5 --references 40 --pool pool.toml
    python examples/experiments/fresh_regenerations.py --pool pool.toml

A model that was trained on the examples of a known fingerprint answers those of the next one as far as the two have
seeds in common. And as far as references score alike by both, drawing another nonce draws nothing. The models of the
*generate* role make the fingerprints, and the references of the *test* role are scored by them.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from cae_backends.datasets import open_data
from cae_core.dataset import ImageSet
from cae_core.disputes.drawing import draw_half
from cae_core.disputes.regeneration import seed_of
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes, provenance_of
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers

EXAMPLES = 50
REFERENCES = 6  # of the generation
SETTINGS = GenerationSettings(eps=48 / 255, tau=0.6, count=EXAMPLES)


def nonce_of(number: int) -> bytes:
    """Return the nonce of a number."""
    return number.to_bytes(16)


def regenerated(
    members: GenerationMembers, data: ImageSet, draw: Callable[[int], ImageSet], number: int
) -> Fingerprint:
    """Return the fingerprint that a judge with this nonce makes of the images that ``draw`` returns."""
    opened = OpenPool(device="cpu")
    white_boxes = open_white_boxes(members, opened=opened, images=data.images)
    settings = dataclasses.replace(SETTINGS, seed=seed_of(nonce_of(number)))
    return generate(white_boxes, draw(number), settings, provenance=provenance_of(members, opened=opened)).fingerprint


def scores_of(fingerprint: Fingerprint, references: Sequence[PoolMember]) -> list[float]:
    """Return each reference's CAEAcc."""
    models = [open_model(str(member.path), device="cpu") for member in references]
    return [float((model.predict(fingerprint.images).labels == fingerprint.labels).mean()) for model in models]


def told(name: str, values: Sequence[float]) -> str:
    """Return a cell of the table: mean, smallest and largest."""
    return f"{np.mean(values):.{2 if name == 'correlation' else 1}f} ({min(values):.2f} … {max(values):.2f})"


def main() -> None:
    """Print one row for all images and one for half of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True, help="manifest")
    parser.add_argument("--nonces", type=int, default=6)
    options = parser.parse_args()
    data, pool = open_data("digits", split="test"), read_pool(options.pool)
    members = GenerationMembers.of_pool(pool)
    members = dataclasses.replace(members, references=members.references[:REFERENCES])
    references = pool.select(role="test", relation="reference")
    print(f"{len(data)} images, {EXAMPLES} examples, {len(references)} references, {options.nonces} nonces\n")
    print("| images | seeds in common of two nonces | correlation of the references' scores | their mean score |")
    print("| --- | --- | --- | --- |")
    ways: dict[str, Callable[[int], ImageSet]] = {
        "all": lambda _number: data,
        "the half that the nonce draws": lambda number: draw_half(data, nonce=nonce_of(number), count=EXAMPLES),
    }
    for name, draw in ways.items():
        made = [regenerated(members, data, draw, number) for number in range(options.nonces)]
        seeds = [{seed.tobytes() for seed in fingerprint.seeds} for fingerprint in made]
        scores = [scores_of(fingerprint, references) for fingerprint in made]
        common = [float(len(a & b)) for a, b in combinations(seeds, 2)]
        alike = [float(np.corrcoef(a, b)[0, 1]) for a, b in combinations(scores, 2)]
        mean = [float(np.mean(row)) for row in scores]
        print(f"| {name} | {told('seeds', common)} | {told('correlation', alike)} | {told('correlation', mean)} |")


if __name__ == "__main__":
    main()
