"""Contours of the eyes, kept as small JSON files beside the code, painted onto the CT's voxels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.path import Path as Polygon

from ..config import ConfigError
from ..data.patients import load_volume

LABELS = {"Eye_L": 8, "Eye_R": 9}
"""Values that `paint` adds to a label.nii.gz."""
STATES = ("drawn", "absent", "unknown", "partial")
"""`absent`: known not to be in view. `unknown`, and `partial` (cut by the scan's end or a void), teach nothing."""
FINE = 5
"""Sub-samples a voxel edge: a voxel is inside if at least half of them are."""


def load(path: Path) -> dict[str, dict]:
    """Patient name to {"state", "Eye_L", "Eye_R"}; a patient with contours needs no "state".

    Raises ValueError for an unknown state, or a drawn patient that lacks an eye.
    """
    patients = json.loads(Path(path).read_text(encoding="utf-8"))
    for name, entry in patients.items():
        has_eyes = [eye in entry for eye in LABELS]
        entry.setdefault("state", "drawn" if all(has_eyes) else "unknown")
        if entry["state"] not in STATES:
            raise ValueError(f"{path}: {name} has the state {entry['state']!r}; it must be one of {STATES}.")
        if entry["state"] == "drawn" and not all(has_eyes):
            raise ValueError(f"{path}: {name} is drawn but lacks Eye_L or Eye_R.")
    return patients


def mask(eye: dict, shape: Sequence[int], spacing: Sequence[float] | np.ndarray) -> np.ndarray:
    """Bool (z, y, x) of `shape`: voxels of which at least half lies inside the eye.

    `eye` is an ellipsoid along the axes ({"centre_ijk": voxel x, y, z, "radii_mm": x, y, z}) or
    one polygon a slice ({"contours": {z: [[x, y], ...]}}, voxels, pixel centres at integers).
    `spacing` in mm, x, y, z.
    """
    if "contours" in eye:
        return polygons(eye["contours"], shape)
    return ellipsoid(eye["centre_ijk"], np.asarray(eye["radii_mm"]) / spacing, shape)


def ellipsoid(centre: Sequence[float], radii: Sequence[float] | np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`centre` and `radii` in voxels, x, y, z; bool (z, y, x)."""
    squares = [((fine(size) - c) / r) ** 2 for size, c, r in zip(reversed(shape), centre, radii)]
    x, y, z = squares
    out = np.zeros(shape, bool)
    box = tuple(slice(max(0, int(c - r) - 1), max(0, int(c + r) + 3)) for c, r in zip(centre[::-1], radii[::-1]))
    z, y, x = (axis.reshape(-1, FINE)[part].ravel() for axis, part in zip((z, y, x), box))
    inside = z[:, None, None] + y[:, None] + x <= 1
    blocks = inside.reshape(len(z) // FINE, FINE, len(y) // FINE, FINE, len(x) // FINE, FINE)
    out[box] = blocks.mean(axis=(1, 3, 5)) >= 0.5
    return out


def polygons(contours: dict[str, list], shape: Sequence[int]) -> np.ndarray:
    """Bool (z, y, x): each polygon fills its own slice."""
    out = np.zeros(shape, bool)
    x, y = np.meshgrid(fine(shape[2]), fine(shape[1]))
    points = np.column_stack([x.ravel(), y.ravel()])
    for z, corners in contours.items():
        inside = Polygon(corners).contains_points(points)
        out[int(z)] = inside.reshape(shape[1], FINE, shape[2], FINE).mean(axis=(1, 3)) >= 0.5
    return out


def fine(size: int) -> np.ndarray:
    """Sub-sample positions along an axis of `size` voxels, in voxels."""
    return (np.arange(size * FINE) + 0.5) / FINE - 0.5


def paint(patient: dict, labels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """`labels` (z, y, x) with the patient's eyes added; an eye never overwrites another organ."""
    out = labels.copy()
    if patient["state"] == "drawn":
        for eye, value in LABELS.items():
            out[mask(patient[eye], labels.shape, spacing) & (labels == 0)] = value
    return out


def scaled(patient: dict, factor: float) -> dict:
    """The patient with the radii of the ellipsoids `factor` times as large;
    raises ConfigError for eyes drawn slice by slice."""
    if not factor > 0:
        raise ConfigError(f"--scale {factor}: it must be above 0.")
    if factor == 1 or patient["state"] != "drawn":
        return patient
    if any("radii_mm" not in patient[eye] for eye in LABELS):
        raise ConfigError("Only ellipsoids can be scaled, not eyes drawn slice by slice.")
    return patient | {
        eye: patient[eye] | {"radii_mm": [factor * r for r in patient[eye]["radii_mm"]]} for eye in LABELS
    }


def write_split(data: Path, index: Path, eyes: Path, out: Path, scale: float = 1.0) -> dict[str, int]:
    """Writes OUT/<split>/<patient>/{data,label}.nii.gz and merges the split into OUT/index.json.

    The CT is linked, not copied. A drawn patient's eyes get a context of 1, an absent one's too
    (no voxel and sound on every slice: known not to be there); unknown and partial ones get none.
    scale: of the ellipsoids' radii. Returns how many patients have each state.
    """
    known = {name: scaled(patient, scale) for name, patient in load(eyes).items()}
    entries = json.loads(Path(index).read_text(encoding="utf-8"))
    merged, counts = {}, dict.fromkeys(STATES, 0)
    folders = sorted(p.parent for p in Path(data).glob("*/data.nii.gz"))
    if not folders:
        raise FileNotFoundError(f"{data} holds no folder with a data.nii.gz.")
    for folder in folders:
        patient = known.get(folder.name, {"state": "unknown"})
        counts[patient["state"]] += 1
        write_patient(patient, folder, out / folder.parent.name / folder.name)
        entry = entries[f"{folder.parent.name}/{folder.name}"]
        if patient["state"] in ("drawn", "absent"):
            entry["context"] |= dict.fromkeys(LABELS, 1.0)
        merged[f"{folder.parent.name}/{folder.name}"] = entry
    merge_index(out / "index.json", merged)
    return counts


def write_patient(patient: dict, folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    image = target / "data.nii.gz"
    image.unlink(missing_ok=True)
    try:
        image.symlink_to((folder / "data.nii.gz").resolve())
    except OSError:  # Windows without the right to make links
        shutil.copyfile(folder / "data.nii.gz", image)
    file = load_volume(folder / "label.nii.gz")
    if nib.aff2axcodes(file.affine) != ("L", "P", "S"):
        raise ValueError(f"{folder} has other axes than LPS; the contours of the eyes are in LPS voxels.")
    labels = np.asarray(file.dataobj)
    painted = paint(patient, labels.T, file.header.get_zooms()[:3]).T
    nib.save(nib.Nifti1Image(painted, file.affine, file.header), target / "label.part.nii.gz")
    (target / "label.part.nii.gz").replace(target / "label.nii.gz")


def merge_index(path: Path, entries: dict) -> None:
    merged = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(merged | entries, indent=1), encoding="utf-8")
    part.replace(path)
