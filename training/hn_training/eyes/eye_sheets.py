"""Contact sheets of eyes: axial, coronal and sagittal slices with the contour, to look at every case."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ..data.patients import read_lps
from .eyes import LABELS, load, mask

HALF_MM = 28.0
A_SHEET = 16
"""Patients a PNG."""
WINDOW_HU = (-180, 200)
PLANES = ((2, (0, 1)), (1, (0, 2)), (0, (1, 2)))
"""Axial, coronal, sagittal: the fixed axis, then the axes drawn right and up (x, y, z)."""


def write(cases: Sequence[tuple[str, np.ndarray, Sequence[float], dict]], path: Path, columns: int = 2) -> None:
    """One PNG of `cases` (name, image (z, y, x) HU, spacing, patient entry), `columns` patients a row.

    Every view shows the smooth contour (ellipsoid or polygon) cut by the slice nearest the eye's centre,
    with ticks every 10 mm. Left eye first.
    """
    rows = -(-len(cases) // columns)
    figure, axes = plt.subplots(rows, 6 * columns, figsize=(8.4 * columns, 1.5 * rows), squeeze=False)
    for view in axes.ravel():
        view.set_axis_off()
    for i, (name, image, spacing, patient) in enumerate(cases):
        row = axes[i // columns, 6 * (i % columns) :][:6]
        for eye, views in zip(LABELS, (row[:3], row[3:])):
            draw_eye(views, image, np.asarray(spacing), patient[eye])
            views[0].set_title(f"{name} {eye}", fontsize=7, pad=1, loc="left")
    figure.subplots_adjust(0, 0, 1, 1 - 0.12 / rows, 0.02, 0.1)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw_eye(views, image: np.ndarray, spacing: np.ndarray, eye: dict) -> None:
    inside = mask(eye, image.shape, spacing).T
    centre = np.argwhere(inside).mean(axis=0) if "contours" in eye else np.asarray(eye["centre_ijk"])
    for view, (fixed, (right, up)) in zip(views, PLANES):
        cut = int(np.clip(round(centre[fixed]), 0, inside.shape[fixed] - 1))
        size = [(-0.5 * spacing[a], (inside.shape[a] - 0.5) * spacing[a]) for a in (right, up)]
        slices = [np.take(v, cut, axis=fixed).T for v in (image.T, inside)]
        view.imshow(
            slices[0],
            cmap="gray",
            vmin=WINDOW_HU[0],
            vmax=WINDOW_HU[1],
            origin="lower",
            extent=(*size[0], *size[1]),
            interpolation="nearest",
        )
        outline(view, eye, slices[1], spacing, centre, cut, (fixed, right, up))
        middle = centre * spacing
        view.set_xlim(middle[right] - HALF_MM, middle[right] + HALF_MM)
        view.set_ylim(middle[up] - HALF_MM, middle[up] + HALF_MM)
        if fixed == 2:
            view.invert_yaxis()  # y grows to the back
        view.set_axis_on()
        view.set_xticks(middle[right] + np.arange(-20, 21, 10), [])
        view.set_yticks(middle[up] + np.arange(-20, 21, 10), [])
        view.tick_params(direction="in", length=2, color="yellow")


def outline(view, eye: dict, painted: np.ndarray, spacing: np.ndarray, centre: np.ndarray, cut: int, axes) -> None:
    fixed, right, up = axes
    if "contours" in eye:
        shape = painted.shape
        view.contour(
            np.arange(shape[1]) * spacing[right],
            np.arange(shape[0]) * spacing[up],
            painted,
            [0.5],
            colors="red",
            linewidths=0.7,
        )
        return
    radii = np.asarray(eye["radii_mm"])
    off = (cut - centre[fixed]) * spacing[fixed] / radii[fixed]
    shrink = np.sqrt(max(0.0, 1 - off**2))
    turn = np.linspace(0, 2 * np.pi, 60)
    view.plot(
        centre[right] * spacing[right] + radii[right] * shrink * np.cos(turn),
        centre[up] * spacing[up] + radii[up] * shrink * np.sin(turn),
        "r-",
        linewidth=0.7,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hn_training.eyes.eye_sheets", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of patient folders")
    parser.add_argument("--eyes", type=Path, required=True, help="JSON file of eyes")
    parser.add_argument("--out", type=Path, required=True, help="folder for eyes_1.png, eyes_2.png, ...")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    drawn = [(name, entry) for name, entry in load(args.eyes).items() if entry["state"] == "drawn"]
    for first in range(0, len(drawn), A_SHEET):
        cases = [
            (name, *read_lps(args.data / name / "data.nii.gz"), entry) for name, entry in drawn[first : first + A_SHEET]
        ]
        write(cases, args.out / f"eyes_{first // A_SHEET + 1}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
