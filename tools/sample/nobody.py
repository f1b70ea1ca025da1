"""Shows that the sample patient is no one of the patients behind it (docs/sample.md has the figures).

    python -m tools.sample.nobody --data DIR/openkbp

Compares CTs at 4 mm after a similarity alignment of landmarks (position, rotation, size: what does not hide who one is)
by the correlation of HU, clipped to -1000..600, where both show the patient or the air around.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from HNSegmenterLib.sample.volume import sample_volume

from .patients import Patient, load_all

_BOX = np.array([(-120, 120), (-130, 120), (-150, 70)])  # x, y, z mm about the brainstem: head and neck
_STEP_MM = 4.0


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift that carry source points (n, 3) onto target in the least
    squares (S. Umeyama, PAMI 13(4), 1991)."""
    s, t = source - source.mean(0), target - target.mean(0)
    u, singular, v = np.linalg.svd(t.T @ s)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ v))])
    matrix = np.trace(np.diag(singular) @ sign) / (s**2).sum() * (u @ sign @ v)
    return matrix, target.mean(0) - matrix @ source.mean(0)


def seen(hu: np.ndarray, spacing, origin, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """HU at the box's points, mapped into the image; nan outside it."""
    axes = [np.arange(low, high, _STEP_MM) for low, high in _BOX]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ matrix.T + shift
    index = ((points - origin) / spacing).T[::-1]
    return np.clip(map_coordinates(hu.astype(np.float32), index, order=1, cval=np.nan), -1000, 600)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    both = ~np.isnan(a) & ~np.isnan(b)
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _patient(patient: Patient, mean: np.ndarray) -> np.ndarray:
    shown = patient.hu.astype(np.float32)
    shown[: patient.first_slice] = np.nan
    shown[patient.last_slice + 1 :] = np.nan
    return seen(shown, patient.spacing, patient.origin, *similarity(mean, patient.landmarks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--patients", type=int, default=28)
    args = parser.parse_args()
    patients = load_all(args.data, args.patients)
    mean = np.mean([p.landmarks for p in patients], 0)
    images = [_patient(p, mean) for p in patients]
    ct, _ = sample_volume()
    nobody = seen(sitk.GetArrayViewFromImage(ct), ct.GetSpacing(), ct.GetOrigin(), np.eye(3), np.zeros(3))

    between = np.array([[correlation(a, b) for b in images] for a in images])
    np.fill_diagonal(between, np.nan)
    to_sample = np.array([correlation(nobody, image) for image in images])
    nearest = np.nanmax(between, 1)
    print(f"{len(patients)} patients; correlation of HU, head and neck, {_STEP_MM:g} mm")
    print(
        f"one patient with another: median {np.nanmedian(between):.3f}, the nearest other {np.median(nearest):.3f}, at "
        f"most {np.nanmax(between):.3f}"
    )
    print(
        f"the sample with a patient: {to_sample.min():.3f} to {to_sample.max():.3f}, median {np.median(to_sample):.3f}"
    )
    first, second = np.sort(to_sample)[::-1][:2]
    print(
        f"the patient nearest to the sample stands out by {first - second:.3f}; spread over patients "
        f"{to_sample.std():.3f}"
    )


if __name__ == "__main__":
    main()
