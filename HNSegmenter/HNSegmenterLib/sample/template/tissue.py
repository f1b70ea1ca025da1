"""From a median of patients to tissue: values, the skin's edge, the vertex. Arrays [k, j, i] in HU on the grid FINE."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# NIST mass attenuation coefficients (XCOM, ICRU-44 tissues) times density, at 60 keV against water, which is about
# the effective energy of 120 kV: adipose -89, muscle +44, brain +39, cortical bone +1935; scans show fat at about -100.
AIR_HU, FAT_HU, MUSCLE_HU, BRAIN_HU = -1000, -100, 50, 35
_FAT_RANGE, _MUSCLE_RANGE = (-140, -50), (20, 90)  # where the modes are looked for
_BONE_FROM_HU = 130
_BONE_MOST_HU = 1900
# Above the middle of the brainstem: tragion to vertex is 125 (women) to 131 (men) mm in ANSUR II, the tragion about 15 lower.
_VERTEX_MM = (106, 118)


def body_mask(hu: np.ndarray) -> np.ndarray:
    """The largest piece of tissue with the cavities that each slice encloses."""
    pieces, _ = ndimage.label(hu > -400)
    body = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def restored(hu: np.ndarray, body: np.ndarray, histogram: np.ndarray, voxel: tuple[float, float, float]) -> np.ndarray:
    """The median made tissue again: blur taken back, modes of fat and muscle at their values, bone as dense as in patients.

    histogram: voxels per HU from -1024 up in the patients; voxel: (z, y, x) mm.
    """
    hu = _sharpened(hu, voxel)
    hu = _bone_as_in_patients(hu, body, histogram)
    hu = _modes_in_place(hu, body)
    hu = crisp_air(hu)
    hu[~body] = AIR_HU
    return hu


def _sharpened(hu: np.ndarray, voxel: tuple[float, float, float], over_mm: float = 3.0, amount: float = 0.8) -> np.ndarray:
    """Unsharp mask of tissue against tissue; air takes no part, so that the skin gets no bright rim."""
    tissue = hu > -250
    sigma = [over_mm / v for v in voxel]
    soft = np.where(tissue, np.minimum(hu, 900), 0)
    blurred = ndimage.gaussian_filter(soft, sigma) / np.maximum(ndimage.gaussian_filter(tissue.astype(np.float32), sigma), 1e-3)
    return hu + np.where(tissue, amount * (soft - blurred), 0)


def _bone_as_in_patients(hu: np.ndarray, body: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """Rank for rank the patients' values above 130 HU: an average of bones is too soft, and its order is right."""
    levels = np.arange(len(histogram)) - 1024
    dense = (levels >= _BONE_FROM_HU) & (levels <= _BONE_MOST_HU)
    share = np.cumsum(histogram[dense]) / histogram[dense].sum()
    bone = body & (hu >= _BONE_FROM_HU)
    ranks = np.argsort(np.argsort(hu[bone])) / max(np.count_nonzero(bone) - 1, 1)
    result = hu.copy()
    result[bone] = np.interp(ranks, share, levels[dense])
    return result


def _modes_in_place(hu: np.ndarray, body: np.ndarray) -> np.ndarray:
    fat, muscle = mode(hu[body], _FAT_RANGE), mode(hu[body], _MUSCLE_RANGE)
    return np.interp(hu, [-400, fat, muscle, 150, 4000], [-400, FAT_HU, MUSCLE_HU, 150, 4000]) + np.minimum(hu + 400, 0)


def mode(values: np.ndarray, within: tuple[int, int]) -> float:
    """The most frequent HU of a range, to 1 HU, of a histogram smoothed by 3 HU."""
    counts, edges = np.histogram(values, np.arange(within[0] - 15.5, within[1] + 16.5))
    counts = ndimage.gaussian_filter1d(counts.astype(float), 3)[15:-15]
    return float(edges[15:-16][counts.argmax()] + 0.5)


def crisp_air(hu: np.ndarray) -> np.ndarray:
    """Half-way values between air and tissue pushed to either side, so that skin and airway have an edge; lung stays."""
    return np.interp(hu, [-2000, -950, -800, -650, -350, -150, 4000], [-1000, -1000, -920, -800, -150, -120, 4000])


def add_vertex(hu: np.ndarray, axes: list[np.ndarray], top: int) -> np.ndarray:
    """Close the head above slice `top` (the last that is known) as an ellipsoid.

    The skin of the upper head gives the ellipsoid; a voxel takes the value that lies as deep, as a share of the
    ellipsoid's radius, in the same direction in slice `top`; what lies deeper than that slice reaches is brain.

    axes: x, y, z in mm.
    """
    x, y, z = axes
    centre, half = _ellipsoid_of_skin(hu, axes, top)
    known = (z[top] - centre[2]) / half[2]
    u, v = np.broadcast_arrays((x[None, :] - centre[0]) / half[0], (y[:, None] - centre[1]) / half[1])
    across = np.maximum(np.hypot(u, v), 1e-6)
    result = hu.copy()
    for k in range(top + 1, len(z)):
        depth = np.hypot(across, (z[k] - centre[2]) / half[2])
        scale = np.sqrt(np.maximum(depth**2 - known**2, 0)) / across
        i = (centre[0] + u * scale * half[0] - x[0]) / (x[1] - x[0])
        j = (centre[1] + v * scale * half[1] - y[0]) / (y[1] - y[0])
        result[k] = ndimage.map_coordinates(hu[top], [j, i], order=1, mode="nearest")
        result[k][depth < known] = BRAIN_HU
    return result


def _ellipsoid_of_skin(hu: np.ndarray, axes: list[np.ndarray], top: int) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half axes (x, y, z) mm of an upright ellipsoid like the upper head, whose largest section is the head's.

    Its height follows from how much smaller slice `top` is than the largest section.
    """
    x, y, z = axes
    first = int(np.searchsorted(z, 25))
    sections = [ndimage.binary_fill_holes(plane > -400) for plane in hu[first : top + 1]]
    areas = ndimage.gaussian_filter1d([float(section.sum()) for section in sections], 2)
    widest = int(areas.argmax())
    columns, rows = (np.flatnonzero(sections[widest].any(axis)) for axis in (0, 1))
    low, high = np.array([x[columns[0]], y[rows[0]]]), np.array([x[columns[-1]], y[rows[-1]]])
    middle_z = z[first + widest]
    height = (z[top] - middle_z) / np.sqrt(1 - min(areas[-1] / areas[widest], 0.99))
    height = np.clip(middle_z + height, *_VERTEX_MM) - middle_z
    return np.append((low + high) / 2, middle_z), np.append((high - low) / 2, height)
