"""Does the patient lie in the scan as it says? Told before any organ is judged by itself, for the network contours much of a
patient who was scanned head first and called feet first, or lay prone and was called supine.

Upside down is told by the organs: they lie to one another as in other patients, but for head and feet. Which way the face looks
is told by the air: the throat runs in front of the cord, and nothing of the kind behind or beside it.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import SimpleITK as sitk

from . import ranges
from .ranges import is_plausible, pair_range
from .shapes import AXES, CORD, Shape, organ_points
from .tissue import Body

LOOKS = "The scan looks "  # how every sentence of this file begins
LEAST_VOTES = 2  # one pair may lie so by chance
HEAD, PAROTIDS = "Brainstem", {"Parotid_L", "Parotid_R"}
REACH_MM = 130.0  # of the throat from the brainstem's middle: in the chest there are other airs
AIR_MM = (15.0, 50.0)  # of the throat from the cord's middle: what lies behind the neck is farther
LUNG_CM2 = 20.0  # of air in one place of a slice: no throat has so much
LEAST_ML, TIMES = 4.0, 4.0  # of air on one side of the cord, and of what lies on the others; in front there are 7 ml and more
LEVEL_MM = 4.0  # the cord's middle is that of so much of its length


def turned(ct: sitk.Image, shapes: dict[str, Shape], body: Body) -> str | None:
    """The sentence on a scan whose patient seems to lie otherwise than it says, None where nothing tells so."""
    seen = ["upside down, its head where the feet should be"] if is_upside_down(shapes) else []
    towards = face(ct, shapes, body)
    if towards == "back":
        seen.append("turned front to back, its face where the back should be")
    elif towards in ("left", "right") and not shapes.keys() >= PAROTIDS:  # whoever has both, left and right, lies on no side
        seen.append(f"turned on its side, its face where the patient's {towards} should be")
    if not seen:
        return None
    return (
        f"{LOOKS}{', and '.join(seen)}; left and right may be swapped with it: use none of its contours, check Patient Position "
        "(head or feet first, supine or prone) at the scanner, and send the scan again with the right one."
    )


def is_upside_down(shapes: dict[str, Shape]) -> bool:
    """Whether pairs of organs lie as in other patients if head and feet change places: two pairs more than as it is."""
    votes = 0
    for first, second in combinations([name for name in ranges.ORGANS if name in shapes], 2):
        as_it_is = shapes[second].landmark - shapes[first].landmark
        turned_over = (shapes[second].landmark_if_turned - shapes[first].landmark_if_turned) * (1, 1, -1)
        votes += _as_in_patients(first, second, turned_over) - _as_in_patients(first, second, as_it_is)
    return votes >= LEAST_VOTES


def _as_in_patients(first: str, second: str, offset: np.ndarray) -> bool:
    """Whether the offset of second from first (mm, LPS) is plausible, whichever sides are called left and front."""
    bounds = [pair_range(first, second, "offset_mm", axis) for axis in AXES]
    return all(is_plausible(mm, one) or (axis != "S" and is_plausible(-mm, one)) for axis, mm, one in zip(AXES, offset, bounds, strict=True))


def face(ct: sitk.Image, shapes: dict[str, Shape], body: Body) -> str | None:
    """On which side of the cord the throat is: "front", "back", "left" or "right", None if that is not seen."""
    if CORD not in shapes or HEAD not in shapes or not body.found:
        return None
    points, air = organ_points(ct, shapes[CORD]), body.enclosed_air(LUNG_CM2)
    air = air[np.abs(air[:, 2] - shapes[HEAD].centre[2]) <= REACH_MM]
    levels, at = np.unique(np.rint(points[:, 2] / LEVEL_MM), return_inverse=True)
    middles = np.stack([np.bincount(at, points[:, axis]) / np.bincount(at) for axis in (0, 1)], axis=1)
    heights = np.rint(air[:, 2] / LEVEL_MM)
    level = np.minimum(np.searchsorted(levels, heights), len(levels) - 1)
    left, back = (air[:, :2] - middles[level])[levels[level] == heights].T
    near = (np.hypot(left, back) >= AIR_MM[0]) & (np.hypot(left, back) <= AIR_MM[1])
    sideways = np.abs(left) > np.abs(back)
    sides = {"front": ~sideways & (back < 0), "back": ~sideways & (back > 0), "left": sideways & (left > 0), "right": sideways & (left < 0)}
    ml = {side: np.count_nonzero(near & there) * body.sample_ml for side, there in sides.items()}
    most = max(ml, key=ml.get)
    return most if ml[most] >= max(LEAST_ML, TIMES * (sum(ml.values()) - ml[most])) else None
