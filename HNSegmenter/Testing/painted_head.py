"""A painted head with six organs of plausible size and place, on a grid of any direction. No person is behind it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from HNSegmenterLib.result import Organ

LPS = np.eye(3)
COLORS = {
    "Brainstem": (0, 158, 115),
    "SpinalCord": (240, 228, 66),
    "Parotid_L": (0, 114, 178),
    "Parotid_R": (213, 94, 0),
    "Eye_L": (86, 180, 233),
    "Eye_R": (204, 121, 167),
}
ELLIPSOIDS = {  # centre and semi-axes, mm from the brainstem's middle
    "Brainstem": ((0, 0, 0), (16, 15, 28)),
    "Parotid_L": ((59, -23, -40), (15, 20, 26)),
    "Parotid_R": ((-59, -23, -40), (15, 20, 26)),
    "Eye_L": ((31, -81, 33), (12.5, 12.5, 12.5)),
    "Eye_R": ((-31, -81, 33), (12.5, 12.5, 12.5)),
}
CORD_TOP, CORD_RADIUS = -28.0, 6.0
VERTEX = 80.0
LOW, HIGH = np.array([-105.0, -125.0, -160.0]), np.array([105.0, 115.0, 100.0])  # what the scan covers, LPS mm


def oblique(degrees: float = 12.0) -> np.ndarray:
    """Columns i, j, k, turned about the left-right axis."""
    angle = np.deg2rad(degrees)
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


DIRECTIONS = {  # columns are the directions of i, j, k in LPS
    "LPS": LPS,
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "feet last": np.diag([1.0, -1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": oblique(),
}


def painted_head(
    direction: np.ndarray = LPS,
    spacing: tuple[float, float, float] = (2.5, 2.5, 3.0),
    low: np.ndarray = LOW,
    high: np.ndarray = HIGH,
) -> tuple[sitk.Image, dict[str, sitk.Image]]:
    """CT (int16 HU) and labelmaps; low, high: the part of the head that the scan covers, LPS mm."""
    grid = _grid(direction, spacing, low, high)
    l, p, s = _points(grid)
    hu = np.full(l.shape, -1000, np.int16)
    hu[(l / 85) ** 2 + ((p + 5) / 105) ** 2 + (np.maximum(s - 30, 0) / (VERTEX - 30)) ** 2 < 1] = 40
    masks = {name: _ellipsoid(l, p, s, *place) for name, place in ELLIPSOIDS.items()}
    masks["SpinalCord"] = (l**2 + (p - 2) ** 2 < CORD_RADIUS**2) & (s < CORD_TOP) & ~masks["Brainstem"]
    return like(grid, hu), {name: like(grid, masks[name].astype(np.uint8)) for name in COLORS}


def organs(*names: str, status: str = "found") -> list[Organ]:
    names = names or tuple(COLORS)
    return [
        Organ(name, label, COLORS.get(name, (255, 0, 255)), status=status) for label, name in enumerate(names, start=1)
    ]


def like(grid: sitk.Image, array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(grid)
    return image


def shifted(labelmap: sitk.Image, lps_mm: tuple[float, float, float]) -> sitk.Image:
    """The labelmap moved in patient coordinates."""
    return sitk.Resample(labelmap, sitk.TranslationTransform(3, [-value for value in lps_mm]), sitk.sitkNearestNeighbor)


def edited(labelmap: sitk.Image, change) -> sitk.Image:
    """change(array [k, j, i], l, p, s) alters the array in place; l, p, s are the voxels' coordinates."""
    array = sitk.GetArrayFromImage(labelmap)
    change(array, *_points(labelmap))
    return like(labelmap, array)


def _grid(direction: np.ndarray, spacing: tuple[float, float, float], low: np.ndarray, high: np.ndarray) -> sitk.Image:
    """An empty image that just covers the box low..high."""
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T @ direction
    size = np.ceil(np.ptp(corners, axis=0) / spacing).astype(int) + 1
    image = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    image.SetOrigin((direction @ corners.min(axis=0)).tolist())
    return image


def _points(image: sitk.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k, j, i = np.indices(image.GetSize()[::-1])
    steps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return tuple(
        steps[axis, 0] * i + steps[axis, 1] * j + steps[axis, 2] * k + image.GetOrigin()[axis] for axis in range(3)
    )


def _ellipsoid(l, p, s, centre, semi_axes) -> np.ndarray:
    return sum(((x - c) / a) ** 2 for x, c, a in zip((l, p, s), centre, semi_axes, strict=True)) < 1
