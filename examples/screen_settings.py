"""Compare generation settings on the *screen* members of a pool, which are for choosing and never for reporting.

    python examples/screen_settings.py --pool pool.toml --data digits --eps 48/255 \
        --try "tau=0.6 check_every=10" --try "objective=composite tau=0.8"

Each ``--try`` is one line of the table: mean CAEAcc of the screen surrogates and of the screen references, their
difference, and the least of the first less the largest of the second. Generation reads the *generate* members only.
"""

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from cae_backends.datasets import open_data
from cae_core.dataset import ImageSet
from cae_core.errors import GenerationError
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes, open_white_boxes
from cae_core.method.caeacc import cae_accuracy
from cae_core.models import Model
from cae_core.pool.manifest import read_pool
from cae_core.pool.members import open_member
from cae_core.pool.roles import GenerationMembers

Screen: TypeAlias = Sequence[tuple[str, Model]]
"""The screen members: relation and model."""


def main() -> None:
    """Generate with each settings and ask the screen members."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--eps", type=Fraction, required=True)
    parser.add_argument("--try", dest="variants", action="append", required=True, metavar="NAME=VALUE …")
    options = parser.parse_args()
    pool, data = read_pool(options.pool), open_data(options.data, split="test")
    white_boxes = open_white_boxes(GenerationMembers.of_pool(pool))
    screen = [(m.relation, open_member(m)) for m in pool.select(role="screen")]
    print("| settings | examples from seeds | surrogates | references | gap | least gap |")
    print("| --- | --- | --- | --- | --- | --- |")
    for variant in options.variants:
        print(f"| {variant} | {_line(white_boxes, data, screen, float(options.eps), _parse(variant))} |", flush=True)


def _parse(variant: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for assignment in variant.split():
        name, _, value = assignment.partition("=")
        try:
            fields[name] = float(value) if "." in value else int(value)
        except ValueError:
            fields[name] = value
    return fields


def _line(
    white_boxes: WhiteBoxes, data: ImageSet, screen: Sequence[tuple[str, Model]], eps: float, changes: dict[str, Any]
) -> str:
    settings = GenerationSettings.from_preset("perturbed", eps=eps, **changes)
    try:
        result = generate(white_boxes, data, settings, provenance={"source": {}})
    except GenerationError:
        return f"0 from {settings.max_seeds or 'all'} | | | |"
    scores: dict[str, list[float]] = {"surrogate": [], "reference": []}
    for relation, model in screen:
        scores[relation].append(_caeacc(model, result.fingerprint))
    surrogate, reference = (sum(values) / len(values) for values in scores.values())
    least = min(scores["surrogate"]) - max(scores["reference"])
    found = f"{len(result.fingerprint)} from {result.seeds_tried}"
    return f"{found} | {surrogate:.2f} | {reference:.2f} | {surrogate - reference:.2f} | {least:.2f}"


def _caeacc(model: Model, fingerprint: Fingerprint) -> float:
    return cae_accuracy(model.predict(fingerprint.images).labels, fingerprint.labels).value


if __name__ == "__main__":
    main()
