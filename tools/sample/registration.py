"""Landmarks first, then demons that look only where the patient's image is sound.

A displacement field is float32 (3, k, j, i), components x, y, z in mm: the template's point p lies at p + u(p)
in the patient. Demons: J.-P. Thirion, Med Image Anal 2(3), 243-260, 1998, with the force of the warped image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates

from .patients import Patient

# What the demons compare: fat against muscle against bone; air and metal beyond these say nothing more.
_WINDOW = (-250.0, 350.0)
_MAX_STEP_MM = 4.0


@dataclass(frozen=True)
class Grid:
    """A template grid: shape [k, j, i], spacing and origin (x, y, z) in mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    def points(self) -> np.ndarray:
        """float32 (3, k, j, i): x, y, z in mm of each voxel."""
        axes = [np.arange(n) * s + o for n, s, o in zip(self.shape[::-1], self.spacing, self.origin)]
        z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return np.stack([x, y, z]).astype(np.float32)

    def coarser(self, factor: int) -> Grid:
        """The same box in `factor` times larger voxels; voxel 0 keeps its centre."""
        k, j, i = ((n + factor - 1) // factor for n in self.shape)
        x, y, z = (s * factor for s in self.spacing)
        return Grid((k, j, i), (x, y, z), self.origin)


def resample(field: np.ndarray, of: Grid, to: Grid) -> np.ndarray:
    """A field given on one grid, linearly on another; constant beyond its edge."""
    return sample_field(field, of, to.points())


def sample_field(field: np.ndarray, of: Grid, points: np.ndarray) -> np.ndarray:
    """A field (3, k, j, i) of a grid at points (3, ...) mm, linearly; constant beyond its edge."""
    index = _voxels(points, np.array(of.origin), np.array(of.spacing))
    return np.stack([map_coordinates(c, index, order=1, mode="nearest") for c in field]).astype(np.float32)


def landmark_field(mean: np.ndarray, landmarks: np.ndarray, grid: Grid, smoothing: float = 5.0) -> np.ndarray:
    """Smooth field (3, k, j, i) on `grid` that carries the mean landmarks near one patient's (biharmonic splines)."""
    spline = RBFInterpolator(mean, landmarks - mean, kernel="linear", degree=1, smoothing=smoothing)
    coarse = grid.coarser(max(1, round(16 / grid.spacing[0])))
    flat = spline(coarse.points().reshape(3, -1).T).T.astype(np.float32)
    return resample(flat.reshape((3, *coarse.shape)), coarse, grid)


def warp(patient: Patient, points: np.ndarray, order: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The patient at points (3, ...) mm, x, y, z:
    HU float32 (...), and bool (...) where the patient's image says it."""
    index = _voxels(points, patient.origin, patient.spacing)
    hu = map_coordinates(patient.hu, index, order=order, mode="nearest", output=np.float32)
    shape = np.array(patient.hu.shape)
    sound = (index[0] >= patient.first_slice) & (index[0] <= patient.last_slice)
    for axis in (1, 2):
        sound &= (index[axis] >= 0) & (index[axis] <= shape[axis] - 1)
    return hu, sound


def warp_label(patient: Patient, points: np.ndarray, label: int) -> np.ndarray:
    """Share 0..1 of the label at points (3, ...) mm, float32 (...)."""
    index = _voxels(points, patient.origin, patient.spacing)
    return map_coordinates((patient.labels == label).astype(np.float32), index, order=1, mode="constant")


def demons(
    template: np.ndarray,
    known: np.ndarray,
    patient: Patient,
    field: np.ndarray,
    grid: Grid,
    iterations: int,
    smooth_mm: float,
) -> np.ndarray:
    """The field after `iterations` steps towards `template` (HU [k, j, i], `known` where it has a value).

    Each step's force and the sum of all steps are smoothed with a Gaussian of `smooth_mm`; the landmark part of
    `field` is left as it is.
    """
    fixed = np.clip(template, *_WINDOW)
    added = np.zeros_like(field)
    start = grid.points() + field
    sigma = [smooth_mm / s for s in grid.spacing[::-1]]
    for _ in range(iterations):
        hu, sound = warp(patient, start + added)
        moving = np.clip(hu, *_WINDOW)
        difference = np.where(sound & known, fixed - moving, 0.0).astype(np.float32)
        gradient = np.stack(np.gradient(moving, *grid.spacing[::-1])[::-1])
        steepness = (gradient**2).sum(0)
        weight = difference / (steepness + difference**2 / _MAX_STEP_MM**2 + 1e-3)
        for axis in range(3):
            force = gaussian_filter(gradient[axis] * weight, sigma, truncate=2.5)
            added[axis] = gaussian_filter(added[axis] + force, [0.5 * s for s in sigma], truncate=2.5)
    return field + added


def recentre(fields: list[np.ndarray], grid: Grid) -> list[np.ndarray]:
    """The fields of the same patients to a template of their mean shape (first order in the mean field)."""
    back = -np.mean(fields, axis=0)
    return [back + sample_field(field, grid, grid.points() + back) for field in fields]


def _voxels(points: np.ndarray, origin: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """(3, ...) points x, y, z in mm -> (3, ...) voxel coordinates k, j, i."""
    shift = (-1,) + (1,) * (points.ndim - 1)
    return ((points - origin.reshape(shift)) / spacing.reshape(shift))[::-1].astype(np.float32)
