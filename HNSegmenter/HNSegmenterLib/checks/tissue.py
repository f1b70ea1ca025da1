"""What the CT holds where an organ was drawn: air, or something outside the patient's body."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from .shapes import AXES, Shape, direction, patient_points, voxel_ml

AIR_HU = -300  # midway between air (-1000) and soft tissue (0..100), nearer to tissue because of partial volumes
SAMPLE_MM = 4.0  # the body is found on every n-th voxel, at most so far apart: enough for a couch, and fast
SEVERED_ML = 500.0  # a child's head is larger; less beyond a gap is no part of the patient


def air_share(ct: sitk.Image, shape: Shape, skip: Sequence[int] = ()) -> float:
    """Share of the organ's voxels below -300 HU, slices k in skip aside; 0.0 if all are skipped."""
    keep = np.array([k not in skip for k in range(shape.box[0].start, shape.box[0].stop)])
    mask = shape.mask[keep]
    hu = sitk.GetArrayViewFromImage(ct)[shape.box][keep]
    voxels = np.count_nonzero(mask)
    return np.count_nonzero(hu[mask] < AIR_HU) / voxels if voxels else 0.0


class Body:
    """The patient's body, air within included, on every n-th voxel of the CT.

    It is the largest connected tissue, what a gap across the patient parts from that, and what both enclose; table,
    mask and arm rests beside it are outside.
    tissue, inside: bool [k, j, i] of the sampled voxels, without and with what is enclosed; steps: (k, j, i) voxels
    between samples; sample_ml: what one stands for.
    """

    def __init__(self, ct: sitk.Image):
        self._ct = ct
        self.steps = tuple(max(1, int(SAMPLE_MM / size)) for size in reversed(ct.GetSpacing()))
        self.sample_ml = voxel_ml(ct) * float(np.prod(self.steps))
        hu = sitk.GetArrayViewFromImage(ct)[tuple(slice(None, None, step) for step in self.steps)]
        parts = _connected(hu >= AIR_HU)
        self.found = bool(parts.any())
        self.tissue = self._patient(parts) if self.found else np.zeros(hu.shape, bool)
        self.inside = ~_reaches_side(_connected(~self.tissue)) if self.found else self.tissue

    def _patient(self, parts: np.ndarray) -> np.ndarray:
        """The largest of the parts, and those that lie above or below it for most of their height."""
        volumes_ml = np.bincount(parts.ravel()) * self.sample_ml
        volumes_ml[0] = 0
        kept: list[int] = []
        ends: list[tuple[float, float]] = []
        for number in np.argsort(-volumes_ml, kind="stable"):
            if kept and volumes_ml[number] < SEVERED_ML:
                break
            heights = self.points(parts == number)[:, 2]
            if all(np.mean((heights >= low) & (heights <= high)) < 0.5 for low, high in ends):
                kept.append(number)
                ends.append((heights.min(), heights.max()))
        return np.isin(parts, kept)

    @cached_property
    def with_cavities(self) -> np.ndarray:
        """Samples (bool [k, j, i]) of the body and of all that its tissue surrounds in one plane across an axis of the
        image: throat, windpipe and lungs too, which air reaches from outside."""
        filled = self.inside.copy()
        for axis in range(3):
            for plane, tissue in zip(np.moveaxis(filled, axis, 0), np.moveaxis(self.tissue, axis, 0), strict=True):
                if tissue.any():
                    image = sitk.GetImageFromArray(np.ascontiguousarray(tissue, np.uint8))
                    plane[sitk.GetArrayFromImage(sitk.BinaryFillhole(image)) != 0] = True
        return filled

    def outside_share(self, shape: Shape, cavities: bool = False) -> float:
        """Share of the organ's sampled voxels outside the body; 0.0 if none was sampled.

        cavities: those open to the air count as the body, too.
        """
        starts = [-part.start % step for part, step in zip(shape.box, self.steps, strict=True)]
        mask = shape.mask[tuple(slice(start, None, step) for start, step in zip(starts, self.steps, strict=True))]
        firsts = [(part.start + start) // step for part, start, step in zip(shape.box, starts, self.steps, strict=True)]
        body = self.with_cavities if cavities else self.inside
        inside = body[tuple(slice(first, first + size) for first, size in zip(firsts, mask.shape, strict=True))]
        voxels = np.count_nonzero(mask)
        return np.count_nonzero(mask & ~inside) / voxels if voxels else 0.0

    def airways(self, most_cm2: float) -> np.ndarray:
        """Samples (bool [k, j, i]) of air that the body encloses in its slices from head to foot,
        though it be open to the nose.

        Places of more than most_cm2, as lungs or a hollow couch are, are left out.
        """
        axis, _ = self._along("S")
        most = most_cm2 * self._spacing(axis) / 10 / self.sample_ml
        air = np.zeros_like(self.tissue)
        for plane, tissue in zip(np.moveaxis(air, axis, 0), np.moveaxis(self.tissue, axis, 0), strict=True):
            areas = _connected(~tissue)
            airway = np.bincount(areas.ravel()) <= most
            airway[[0, *areas[0], *areas[-1], *areas[:, 0], *areas[:, -1]]] = (
                False  # tissue, and what reaches the image's sides
            )
            plane[:] = airway[areas]
        return air

    def covered(self, side: str, least_mm: float) -> np.ndarray:
        """Samples (bool [k, j, i]) from which the next tissue towards a side ("L+", "P-", ...) is so thick:
        flesh, no couch or mask."""
        axis, ahead = self._along(side[0])
        order = slice(None, None, -1 if ahead == (side[1] == "+") else 1)
        tissue = np.moveaxis(self.tissue, axis, 0)[order]
        covered = np.zeros_like(self.tissue)
        thick = run = np.zeros(tissue.shape[1:], int)
        for plane, result in zip(tissue, np.moveaxis(covered, axis, 0)[order], strict=True):  # from that side on
            result[:] = thick * self._spacing(axis) >= least_mm
            run = np.where(plane, run + 1, 0)
            thick = np.where(plane, run, thick)
        return covered

    def points(self, samples: np.ndarray) -> np.ndarray:
        """(n, 3) LPS mm of samples (bool [k, j, i])."""
        return patient_points(self._ct, np.argwhere(samples) * self.steps)

    def _along(self, name: str) -> tuple[int, bool]:
        """The array axis that runs most along L, P or S, and whether it does so forwards."""
        along = direction(self._ct)[AXES.index(name), ::-1]
        axis = int(np.argmax(np.abs(along)))
        return axis, bool(along[axis] > 0)

    def _spacing(self, axis: int) -> float:
        """mm between samples along an array axis."""
        return self._ct.GetSpacing()[2 - axis] * self.steps[axis]

    def ends_s(self) -> tuple[float, float]:
        """Lowest and highest S (mm) of the body. There must be one."""
        heights = self.points(self.inside)[:, 2]
        return float(heights.min()), float(heights.max())

    def middle_l(self, shape: Shape) -> float | None:
        """Middle of the body along L (mm) on the organ's slices, None without a body there."""
        first, last = shape.box[0].start // self.steps[0], (shape.box[0].stop - 1) // self.steps[0]
        right, left = self._sides_l[first : last + 1].T
        return float((right.min() + left.max()) / 2) if np.isfinite(right).any() else None

    @cached_property
    def _sides_l(self) -> np.ndarray:
        """(slices, 2) lowest and highest L (mm) of the body on each of its sampled slices k; infinite without one."""
        sides = np.full((len(self.inside), 2), (np.inf, -np.inf))
        for k, plane in enumerate(self.inside):
            ji = np.argwhere(plane)
            if len(ji):
                kji = np.column_stack([np.full(len(ji), k), ji])
                l_mm = patient_points(self._ct, kji * self.steps)[:, 0]
                sides[k] = l_mm.min(), l_mm.max()
        return sides


def _connected(mask: np.ndarray) -> np.ndarray:
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)))
    return sitk.GetArrayFromImage(parts)


def _reaches_side(parts: np.ndarray) -> np.ndarray:
    """Where the connected parts are that touch a side of the image (first and last row and column, not slice)."""
    sides = [parts[:, 0], parts[:, -1], parts[:, :, 0], parts[:, :, -1]]
    outer = np.unique(np.concatenate([side.ravel() for side in sides]))
    return np.isin(parts, outer[outer > 0])
