"""Pictures of a patient on the way: reference and prediction as outlines on slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..config import ORGANS, three
from ..data.patients import Patient
from ..packing.model_folder import COLORS

SHOWN_HU = (-160, 240)
AXIAL, CORONAL = 3, 2
MARGIN_MM = 40.0


def draw(patient: Patient, chances: np.ndarray, heading: str, path: Path, organ: str | None = None) -> None:
    """One PNG: axial and coronal slices through the organs, the reference solid and the prediction dashed.

    chances: probability of every class (classes, z, y, x) on the patient's grid; an organ is where its own is
    above 0.5. organ: the one that the slices go through; None for all. Axial slices have the patient's left on
    the right, coronal ones the head above.
    """
    figure = Figure(figsize=(3.2 * (AXIAL + CORONAL), 3.9), layout="constrained")
    axes = figure.subplots(1, AXIAL + CORONAL)
    predicted = chances[1:] > 0.5
    seen = (patient.labels > 0) | predicted.any(0)
    if organ:
        number = ORGANS.index(organ)
        seen = (patient.labels == number + 1) | predicted[number]
    box = around(seen, patient.spacing)
    image, labels, predicted, seen = patient.image[box], patient.labels[box], predicted[:, *box], seen[box]
    x, y, z = patient.spacing
    for axis, place in zip(axes[:AXIAL], slices(seen, 0, AXIAL)):
        title = f"axial {place + box[0].start}"
        outline(axis, image[place], labels[place], predicted[:, place], y / x, title)
    for axis, place in zip(axes[AXIAL:], slices(seen, 1, CORONAL)):
        title = f"coronal {place + box[1].start}"
        outline(axis, image[:, place], labels[:, place], predicted[:, :, place], z / x, title)
        axis.invert_yaxis()
    figure.suptitle(f"{heading}: reference solid, prediction dashed", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def around(seen: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The box (z, y, x) of all organs and `MARGIN_MM` more; all of the image where there is no organ."""
    box = []
    for axis, step in enumerate(reversed(spacing)):
        inside = np.flatnonzero(seen.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / step)
        box.append(
            slice(max(0, inside[0] - margin), inside[-1] + margin + 1) if len(inside) else slice(0, seen.shape[axis])
        )
    return three(box)


def slices(seen: np.ndarray, axis: int, count: int) -> list[int]:
    """Slices along `axis` that split the voxels of all organs evenly; the middle ones where there is no organ."""
    voxels = seen.sum(axis=tuple(a for a in range(3) if a != axis))
    share = np.cumsum(voxels) / max(1, voxels.sum())
    wanted = (np.arange(count) + 0.5) / count
    return [int(np.searchsorted(share, w)) if voxels.any() else int(w * len(voxels)) for w in wanted]


def outline(
    axis: Axes, image: np.ndarray, labels: np.ndarray, predicted: np.ndarray, aspect: float, title: str
) -> None:
    axis.imshow(image, cmap="gray", vmin=SHOWN_HU[0], vmax=SHOWN_HU[1], aspect=aspect)
    for organ, name in enumerate(ORGANS, start=1):
        color = [tuple(c / 255 for c in COLORS[name])]
        for mask, style in ((labels == organ, "solid"), (predicted[organ - 1], "dashed")):
            if mask.any() and not mask.all():
                axis.contour(mask, [0.5], colors=color, linestyles=style, linewidths=1.2)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
