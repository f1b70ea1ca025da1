"""Loss and Dice curves of a run as one PNG."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw(folder: Path) -> None:
    """Reads loss.csv and dice.csv of `folder`, those that are there; writes curves.png beside them."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, name, only in ((left, "loss.csv", ("loss", "cross_entropy", "soft_dice")), (right, "dice.csv", None)):
        columns = read_columns(folder / name)
        steps = columns.pop("step", [])
        for label in only or columns:
            axis.plot(steps, columns.get(label, []), label=label, marker="." if only is None else "")
        axis.set_xlabel("step")
        if steps:
            axis.legend()
    left.set_title("training patches, mean of 20 steps")
    right.set_title("Dice, some validation patients")
    right.set_ylim(0, 1)
    figure.savefig(folder / "curves.png", dpi=110)
    plt.close(figure)


def read_columns(path: Path) -> dict[str, list[float]]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or "nan") for row in rows] for key in rows[0]} if rows else {}
