"""What the average does not hold: the globes, the couch and the head rest. Arrays [k, j, i] in HU;
positions (x, y, z) mm."""

from __future__ import annotations

import numpy as np

from HNSegmenterLib.evaluation.variations.planning import COUCH_CORE_HU, COUCH_SHELL_HU

GLOBE_MM = 12.0  # radius: adult globes are 24 mm across, within 1 mm (I. Bekerman et al., J Ophthalmol 2014, 503645)
_VITREOUS_HU, _SCLERA_HU, _LENS_HU, _NERVE_HU, _ORBIT_FAT_HU = 12, 45, 85, 35, -95
_ORBIT_BONE_HU = 120
_SCLERA_MM = 1.2
_LENS_HALF_MM = np.array([4.6, 2.1, 4.6])
_NERVE_MM = 2.2  # radius with its sheath
_CONE_MM = 20.0  # of fat and nerve behind the globe

REST_HU = -960  # polystyrene
_COUCH_MM, _REST_HALF_WIDTH_MM = 50.0, 90.0


def eye_centre(hu: np.ndarray, axes: list[np.ndarray], near: np.ndarray, reach_mm: float = 6.0) -> np.ndarray:
    """Centre (x, y, z) of the globe near a point: the ball most like vitreous with the least of it behind.

    The mean of the 10 best places 2 mm apart.
    """
    steps = np.arange(-reach_mm, reach_mm + 1, 2.0)
    places = near + np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    contrast = [_globe_contrast(hu, axes, place) for place in places]
    return places[np.argsort(contrast)[-10:]].mean(0)


def _globe_contrast(hu: np.ndarray, axes: list[np.ndarray], centre: np.ndarray) -> float:
    """HU by which soft tissue behind the ball differs from vitreous, less what lies inside does (100 at most each)."""
    x, y, z = axes
    box = tuple(slice(*np.searchsorted(axis, (c - 17, c + 17))) for axis, c in zip((z, y, x), centre[::-1]))
    distance = _distance((x[box[2]], y[box[1]], z[box[0]]), centre)
    unlike = np.minimum(np.abs(hu[box] - _VITREOUS_HU), 100)
    behind = (distance > 13) & (distance < 16) & (y[box[1]] > centre[1])[None, :, None] & (hu[box] < _ORBIT_BONE_HU)
    return float(unlike[behind].mean() - unlike[distance < 11].mean())


def paint_eye(hu: np.ndarray, axes: list[np.ndarray], centre: np.ndarray) -> np.ndarray:
    """The CT with a globe of 24 mm: sclera, vitreous, lens; behind it fat where the average is soft, and the nerve."""
    x, y, z = axes
    distance = _distance(axes, centre)
    dx, dy, dz = (a.astype(np.float32) for a in (x - centre[0], y - centre[1], z - centre[2]))
    result = hu.astype(np.float32)

    inwards = -np.sign(centre[0])
    ahead = dy[None, :, None]
    # The nerve runs back and to the middle, at about 20 degrees from the sagittal plane.
    nerve_x = (dx[None, None, :] - inwards * np.tan(np.radians(20)) * ahead) * np.cos(np.radians(20))
    nerve = np.hypot(nerve_x, dz[:, None, None]) < _NERVE_MM
    cone = (
        (ahead > 0)
        & (distance < GLOBE_MM + _CONE_MM)
        & (np.hypot(nerve_x, dz[:, None, None]) < 11 - 0.35 * (ahead - 8))
    )
    soft = (result > -200) & (result < 130)
    result[cone & soft] = _ORBIT_FAT_HU
    result[cone & soft & nerve] = _NERVE_HU

    rim = (distance >= GLOBE_MM) & (distance < GLOBE_MM + 2.5) & (ahead > -3) & soft
    result[rim] = _ORBIT_FAT_HU
    result = _blend(result, _SCLERA_HU, GLOBE_MM - distance)
    result = _blend(result, _VITREOUS_HU, GLOBE_MM - _SCLERA_MM - distance)
    lens = np.sqrt(
        (dx[None, None, :] / _LENS_HALF_MM[0]) ** 2
        + ((ahead + GLOBE_MM - 5.5) / _LENS_HALF_MM[1]) ** 2
        + (dz[:, None, None] / _LENS_HALF_MM[2]) ** 2
    )
    return _blend(result, _LENS_HU, (1 - lens) * _LENS_HALF_MM[1])


def add_couch(hu: np.ndarray, body: np.ndarray, axes: list[np.ndarray]) -> np.ndarray:
    """The CT with a flat couch that touches the back, and a foam rest between it and the head and neck."""
    x, y, _ = axes
    back = y[np.flatnonzero(body.any((0, 2)))[-1]]
    result = hu.copy()
    free = ~body
    width = np.abs(x)[None, :] <= 254
    depth = (y - back)[:, None]
    core = (depth > 0) & (depth <= _COUCH_MM) & width
    shell = core & ((depth <= 3) | (depth > _COUCH_MM - 3) | (np.abs(x)[None, :] > 250))
    result[:, core] = COUCH_CORE_HU
    result[:, shell] = COUCH_SHELL_HU
    for k in range(len(hu)):
        under = _rest(body[k], x, depth[:, 0])
        result[k][under & free[k]] = REST_HU
    return result


def _rest(body: np.ndarray, x: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """bool [j, i] of one slice: below the skin of a head or neck, in the middle, above the couch."""
    under = np.zeros_like(body)
    last = body.shape[0] - 1 - body[::-1].argmax(0)
    wide = body.any(0) & (np.abs(x) < _REST_HALF_WIDTH_MM)
    for i in np.flatnonzero(wide):
        under[last[i] + 1 :, i] = depth[last[i] + 1 :] <= 0
    return under


def _blend(hu: np.ndarray, value: float, inside_mm: np.ndarray) -> np.ndarray:
    """`value` where inside_mm is over +1, mixed over the 2 mm of a voxel."""
    share = np.clip(inside_mm / 2 + 0.5, 0, 1)
    return hu + share * (value - hu)


def _distance(axes, centre: np.ndarray) -> np.ndarray:
    x, y, z = axes
    return np.sqrt(
        (x - centre[0])[None, None, :] ** 2 + (y - centre[1])[None, :, None] ** 2 + (z - centre[2])[:, None, None] ** 2
    )
