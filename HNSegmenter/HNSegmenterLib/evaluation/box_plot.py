"""evaluation.png: box plots of Dice and HD95, with matplotlib."""

from __future__ import annotations

from pathlib import Path

from .evaluate import Row
from .summary import summarise


def draw_box_plot(rows: list[Row], path: Path) -> bool:
    """Dice and HD95 by organ on the CTs as they are, a box from quartile to quartile and a dot a patient. False without
    matplotlib or comparisons."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = [row for row in rows if not row.variation]
    organs = [one.organ for one in summarise(rows) if one.patients]
    if not organs:
        return False
    figure = Figure(figsize=(2.5 + 1.1 * len(organs) * 2, 5), layout="constrained")
    for axes, key, label in zip(figure.subplots(1, 2), ("dice", "hd95_mm"), ("Dice", "HD95 (mm)"), strict=True):
        values = [_values(rows, organ, key) for organ in organs]
        axes.boxplot(values, showfliers=False, widths=0.5, medianprops={"color": "black"})
        for place, column in enumerate(values, start=1):
            spread = [place + 0.12 * (number % 5 - 2) / 2 for number in range(len(column))]
            axes.plot(spread, column, ".", color="#0072B2", alpha=0.6, markersize=5)
        names = [f"{organ}\nn = {len(column)}" for organ, column in zip(organs, values, strict=True)]
        axes.set_xticks(range(1, len(organs) + 1), names, rotation=30, ha="right")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0, top=1 if key == "dice" else None)
        axes.grid(axis="y", alpha=0.3)
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, format="png", dpi=120)
    partial.replace(path)
    return True


def _values(rows: list[Row], organ: str, key: str) -> list[float]:
    found = [getattr(row.agreement, key) for row in rows if row.organ == organ and row.agreement]
    return [value for value in found if value is not None]
