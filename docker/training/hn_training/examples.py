"""Pictures of a patient on the way: reference and prediction as outlines on slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .config import ORGANS
from .model_folder import COLORS
from .patients import Patient

SHOWN_HU = (-160, 240)
AXIAL, CORONAL = 3, 2


def draw(patient: Patient, chances: np.ndarray, title: str, path: Path) -> None:
    """One PNG: axial and coronal slices through the organs, the reference solid and the prediction dashed.

    chances: probability of every class (classes, z, y, x) on the patient's grid; an organ is where its own is
    above 0.5. Axial slices have the patient's left on the right, coronal ones the head above.
    """
    figure = Figure(figsize=(3.2 * (AXIAL + CORONAL), 3.9), layout="constrained")
    axes = figure.subplots(1, AXIAL + CORONAL)
    predicted = chances[1:] > 0.5
    seen = (patient.labels > 0) | predicted.any(0)
    x, y, z = patient.spacing
    for axis, place in zip(axes[:AXIAL], slices(seen, 0, AXIAL)):
        outline(axis, patient.image[place], patient.labels[place], predicted[:, place], y / x, f"axial {place}")
    for axis, place in zip(axes[AXIAL:], slices(seen, 1, CORONAL)):
        outline(axis, patient.image[:, place], patient.labels[:, place], predicted[:, :, place], z / x, f"coronal {place}")
        axis.invert_yaxis()
    figure.suptitle(f"{title}: reference solid, prediction dashed", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def slices(seen: np.ndarray, axis: int, count: int) -> list[int]:
    """Slices along `axis` that split the voxels of all organs evenly; the middle ones where there is no organ."""
    voxels = seen.sum(axis=tuple(a for a in range(3) if a != axis))
    share = np.cumsum(voxels) / max(1, voxels.sum())
    wanted = (np.arange(count) + 0.5) / count
    return [int(np.searchsorted(share, w)) if voxels.any() else int(w * len(voxels)) for w in wanted]


def outline(axis: Axes, image: np.ndarray, labels: np.ndarray, predicted: np.ndarray, aspect: float, title: str) -> None:
    axis.imshow(image, cmap="gray", vmin=SHOWN_HU[0], vmax=SHOWN_HU[1], aspect=aspect)
    for organ, name in enumerate(ORGANS, start=1):
        color = [tuple(c / 255 for c in COLORS[name])]
        for mask, style in ((labels == organ, "solid"), (predicted[organ - 1], "dashed")):
            if mask.any() and not mask.all():
                axis.contour(mask, [0.5], colors=color, linestyles=style, linewidths=1.2)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
