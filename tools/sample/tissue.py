"""From a median of patients to tissue: sharpness, bone, the skin's edge, the vertex.
Arrays [k, j, i] in HU on the grid FINE."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

AIR_HU, BRAIN_HU = -1000, 32  # the latter is the average's own
_BONE_FROM_HU = 130
_BONE_MOST_HU = 1900
# Above the middle of the brainstem: tragion to vertex is 125 (women) to 131 (men) mm in ANSUR II,
# the tragion about 15 lower.
_VERTEX_MM = (106, 118)


def body_mask(hu: np.ndarray) -> np.ndarray:
    """The largest piece of tissue with the cavities that each slice encloses."""
    pieces, _ = ndimage.label(hu > -400)
    body = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def restored(hu: np.ndarray, body: np.ndarray, histogram: np.ndarray, voxel: tuple[float, float, float]) -> np.ndarray:
    """The median made tissue again: blur partly taken back, bone as dense as in patients, air and tissue apart.

    histogram: voxels per HU from -1024 up in the patients; voxel: (z, y, x) mm.
    """
    hu = _sharpened(hu, voxel)
    hu = _bone_as_in_patients(hu, body, histogram)
    hu = crisp_air(hu)
    hu[~body] = AIR_HU
    return hu


def _sharpened(
    hu: np.ndarray, voxel: tuple[float, float, float], over_mm: float = 3.0, amount: float = 0.5
) -> np.ndarray:
    """Unsharp mask of fat against muscle. Air and bone take no part: no rims beside them."""
    soft = (hu > -250) & (hu < _BONE_FROM_HU)
    sigma = [over_mm / v for v in voxel]
    total = ndimage.gaussian_filter(np.where(soft, hu, 0), sigma)
    blurred = total / np.maximum(ndimage.gaussian_filter(soft.astype(np.float32), sigma), 1e-3)
    return hu + np.where(soft, amount * (hu - blurred), 0)


def _bone_as_in_patients(hu: np.ndarray, body: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """Rank for rank the patients' values above 130 HU: an average of bones is too soft, and its order is right."""
    levels = np.arange(len(histogram)) - 1024
    dense = (levels >= _BONE_FROM_HU) & (levels <= _BONE_MOST_HU)
    share = np.cumsum(histogram[dense]) / histogram[dense].sum()
    bone = body & (hu >= _BONE_FROM_HU)
    ranks = np.argsort(np.argsort(hu[bone])) / max(int(np.count_nonzero(bone)) - 1, 1)
    result = hu.copy()
    result[bone] = np.interp(ranks, share, levels[dense])
    return result


def crisp_air(hu: np.ndarray) -> np.ndarray:
    """Half-way values between air and tissue pushed to either side,
    so that skin and airway have an edge; lung stays."""
    return np.interp(
        hu, [-2000, -950, -800, -650, -350, -150, -80, 4000], [-1000, -1000, -920, -800, -150, -120, -80, 4000]
    )


def add_vertex(hu: np.ndarray, axes: list[np.ndarray], top: int) -> np.ndarray:
    """Close the head above slice `top` (the last that is known) with a dome whose foot is that slice's own outline.

    Sections above are the outline, smaller as in an ellipsoid of the head's height and moved as the sections below move
    from slice to slice. A voxel takes the value that lies as deep under the dome, as a share of its radius, in slice
    `top`: in the same direction near that slice, the median of all directions from 10 mm above it. What lies deeper
    than the slice reaches is brain.

    axes: x, y, z in mm.
    """
    x, y, z = axes
    middle_z, height = _dome(hu, z, top)
    foot = (z[top] - middle_z) / height
    outline = ndimage.binary_fill_holes(hu[top] > -400)
    centre = _centre(outline, x, y)
    drift = (centre - _centre(ndimage.binary_fill_holes(hu[top - 8] > -400), x, y)) / (z[top] - z[top - 8])
    longest = _reach(outline, x, y, centre)
    shares = np.linspace(0, 1.2, 241)
    profile = np.median([_along(hu[top], x, y, centre, longest, t, np.arange(360.0)) for t in shares], axis=1)
    result = hu.copy()
    for k in range(top + 1, len(z)):
        above = z[k] - z[top]
        dx, dy = np.broadcast_arrays(
            x[None, :] - centre[0] - drift[0] * above, y[:, None] - centre[1] - drift[1] * above
        )
        angle = np.degrees(np.arctan2(dy, dx)) % 360
        share = np.hypot(dx, dy) / _at(longest, angle)  # 1 on the outline
        depth = np.sqrt(share**2 * (1 - foot**2) + ((z[k] - middle_z) / height) ** 2)  # 1 on the dome
        source = np.sqrt(np.maximum(depth**2 - foot**2, 0) / (1 - foot**2))
        common = min(above / 10, 1)
        result[k] = common * np.interp(source, shares, profile)
        if common < 1:
            result[k] += (1 - common) * _along(hu[top], x, y, centre, longest, source, angle)
        result[k][depth < foot] = BRAIN_HU
    return result


def _along(
    plane: np.ndarray, x: np.ndarray, y: np.ndarray, centre: np.ndarray, longest: np.ndarray, share, angle: np.ndarray
) -> np.ndarray:
    """HU of a slice at a share of the way from the centre to its outline, in the directions `angle` (degrees)."""
    radius = share * _at(longest, angle)
    i = (centre[0] + radius * np.cos(np.radians(angle)) - x[0]) / (x[1] - x[0])
    j = (centre[1] + radius * np.sin(np.radians(angle)) - y[0]) / (y[1] - y[0])
    return ndimage.map_coordinates(plane, [j, i], order=1, mode="nearest")


def _centre(outline: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(outline)
    return np.array([x[columns].mean(), y[rows].mean()])


def _dome(hu: np.ndarray, z: np.ndarray, top: int) -> tuple[float, float]:
    """Level (mm) of the head's widest section and the height (mm) of the ellipsoid above it:
    its sections shrink as the head's."""
    first = int(np.searchsorted(z, 25))
    areas = [float(ndimage.binary_fill_holes(plane > -400).sum()) for plane in hu[first : top + 1]]
    areas = ndimage.gaussian_filter1d(areas, 2)
    widest = int(areas.argmax())
    middle_z = z[first + widest]
    height = (z[top] - middle_z) / np.sqrt(1 - min(areas[-1] / areas[widest], 0.99))
    return float(middle_z), float(np.clip(middle_z + height, *_VERTEX_MM) - middle_z)


def _reach(outline: np.ndarray, x: np.ndarray, y: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """mm from the centre to the outline in 72 directions, 5 degrees apart."""
    rows, columns = np.nonzero(outline)
    dx, dy = x[columns] - centre[0], y[rows] - centre[1]
    longest = np.zeros(72)
    np.maximum.at(longest, (np.degrees(np.arctan2(dy, dx)) % 360 / 5).astype(int) % 72, np.hypot(dx, dy))
    return ndimage.gaussian_filter1d(longest, 1, mode="wrap")


def _at(longest: np.ndarray, angle: np.ndarray) -> np.ndarray:
    middles = np.arange(-2.5, 363, 5)
    return np.interp(angle, middles, np.concatenate([longest[-1:], longest, longest[:1]]))
