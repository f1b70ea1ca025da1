"""Variations of place: rotated, cut, mirrored, axes in another order."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .scan import AIR_HU, Draw, Scan, Varied, everything, like, mask_image

ANGLE_DEGREES = 15.0
FINE_MM = 2.0  # in plane: turned onto coarser voxels, thin organs would suffer from the turning itself
CUT_SHARE = (0.2, 0.8)  # of the height of the organ that is cut


def rotated(scan: Scan, draw: Draw) -> Varied:
    """Turned by 15 degrees about an axis of any direction through the middle of the scan, cubic;
    in plane at 2 mm at most."""
    axis = draw.random.normal(size=3)
    angle = np.deg2rad(ANGLE_DEGREES) * draw.random.choice([-1, 1])
    middle = scan.ct.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in scan.ct.GetSize()])
    turn = sitk.VersorRigid3DTransform()
    turn.SetCenter(middle)
    turn.SetRotation((axis / np.linalg.norm(axis)).tolist(), float(angle))
    grid = _finer(scan.ct)
    ct = sitk.Resample(scan.ct, grid, turn, sitk.sitkBSpline, AIR_HU, sitk.sitkFloat32)

    def back(mask: np.ndarray) -> np.ndarray:
        return onto(mask, grid, scan.ct, turn.GetInverse())

    varied = like(sitk.GetArrayViewFromImage(ct), grid)
    return Varied(varied, back(np.ones(grid.GetSize()[::-1], bool)), back)


def onto(mask: np.ndarray, grid: sitk.Image, other: sitk.Image, transform: sitk.Transform | None = None) -> np.ndarray:
    """A mask on `grid` read at the voxels of `other` (linear, from one half on);
    transform: points of other -> points of grid."""
    image = sitk.Cast(mask_image(mask, grid), sitk.sitkFloat32)
    moved = sitk.Resample(image, other, transform or sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, 0.0)
    return sitk.GetArrayViewFromImage(moved) >= 0.5


def _finer(ct: sitk.Image) -> sitk.Image:
    """An empty image of the same extent, in plane at 2 mm at most."""
    size, spacing = list(ct.GetSize()), list(ct.GetSpacing())
    for axis in (0, 1):
        parts = int(np.ceil(spacing[axis] / FINE_MM))
        size[axis], spacing[axis] = size[axis] * parts, spacing[axis] / parts
    first = [(fine / coarse - 1) / 2 for fine, coarse in zip(spacing, ct.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing(spacing)
    grid.SetDirection(ct.GetDirection())
    grid.SetOrigin(ct.TransformContinuousIndexToPhysicalPoint(first))
    return grid


def cut(scan: Scan, draw: Draw) -> Varied:
    """Ends above or below in the middle of one of the organs, as when a scan stops too early.

    The cord is not cut from below: it always goes on there.
    """
    above = bool(draw.random.integers(2))
    names = sorted(name for name, mask in scan.organs.items() if mask.any() and (above or name != "SpinalCord"))
    if not names:
        return Varied(scan.ct, everything(scan))
    drawn = np.flatnonzero(scan.organs[draw.random.choice(names)].any(axis=(1, 2)))
    k = round(drawn[0] + draw.random.uniform(*CUT_SHARE) * (drawn[-1] - drawn[0]))
    kept = slice(0, k + 1) if above else slice(k, len(scan.hu))
    in_view = np.zeros(scan.hu.shape, bool)
    in_view[kept] = True

    def back(mask: np.ndarray) -> np.ndarray:
        whole = np.zeros(scan.hu.shape, bool)
        whole[kept] = mask
        return whole

    return Varied(scan.ct[:, :, kept], in_view, back, lowest=None if above else k, highest=k if above else None)


def mirrored(scan: Scan, _draw: Draw) -> Varied:
    """Left and right exchanged in the voxels, the header kept:
    another patient, whose left parotid is this one's right."""
    return Varied(like(scan.hu[:, :, ::-1], scan.ct), everything(scan), lambda mask: mask[:, :, ::-1], mirrored=True)


def reoriented(scan: Scan, draw: Draw) -> Varied:
    """The same voxels in the same places, stored along other axes: permuted and flipped, the header with them."""
    axes = [0, 1, 2]
    while axes == [0, 1, 2]:
        axes = [*draw.random.permutation(2).tolist(), 2] if draw.axial else draw.random.permutation(3).tolist()
    flips = [bool(flip) for flip in draw.random.integers(2, size=3)]
    ct = sitk.Flip(sitk.PermuteAxes(scan.ct, axes), flips)

    def back(mask: np.ndarray) -> np.ndarray:
        unflipped = sitk.Flip(mask_image(mask, ct), flips)
        return sitk.GetArrayFromImage(sitk.PermuteAxes(unflipped, np.argsort(axes).tolist())) != 0

    return Varied(ct, everything(scan), back)
