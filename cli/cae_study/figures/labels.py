"""The source's labels of the examples, and the classes that they come from."""

import numpy as np
from matplotlib.figure import Figure

from cae_study.figures.drawn import SURROGATE, Material

__all__ = ["draw"]

_NAMED = 20
"""Classes whose names find room on an axis."""


def draw(figure: Figure, material: Material) -> None:
    """Draw the distribution of labels beside the matrix of true classes and labels."""
    rows = [row for own in material.rows.values() for row in own]
    classes = len(material.classes) or 1 + max(int(row["label"]) for row in rows)
    matrix = np.zeros((classes, classes), int)
    for row in rows:
        matrix[int(row["truth"]), int(row["label"])] += 1
    bars, confusion = figure.subplots(1, 2, width_ratios=[1, 1.15])
    bars.barh(range(classes), matrix.sum(axis=0), color=SURROGATE, alpha=0.8)
    bars.invert_yaxis()
    bars.set_xlabel("examples with this label of the source")
    shown = confusion.imshow(matrix, cmap="Reds", aspect="auto")
    confusion.grid(visible=False)
    confusion.set_xlabel("label of the source")
    confusion.set_ylabel("true class")
    figure.colorbar(shown, ax=confusion, label="examples")
    if classes <= _NAMED and material.classes:
        bars.set_yticks(range(classes), material.classes, fontsize=7)
        confusion.set_yticks(range(classes), material.classes, fontsize=7)
        confusion.set_xticks(range(classes), material.classes, fontsize=7, rotation=60, ha="right")
