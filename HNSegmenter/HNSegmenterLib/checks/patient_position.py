"""Does the patient lie in the scan as it says? Told before any organ is judged by itself, for the network contours much
of a patient who was scanned head first and called feet first, or lay prone and was called supine.

Upside down is told by the organs: they lie to one another as in other patients, but for head and feet. Which way the
face looks is told by the air: throat and windpipe run in front of the cord,
and nothing of the kind behind or beside it.
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
AIR_MM = (15.0, 50.0)  # of throat and windpipe from the cord's middle
LUNG_CM2 = 20.0  # of air in one place of a slice: no throat has so much
FLESH_MM = 12.0  # that lies before the throat; what covers a gap between neck and couch is thinner
LEAST_ML, TIMES = (
    4.0,
    4.0,
)  # of air on one side of the cord, and of what lies on the opposite one; in front there are 10 ml and more
LEVEL_MM = 4.0  # the cord's middle is that of so much of its length
SIDES = {"front": "P-", "back": "P+", "left": "L+", "right": "L-"}


def turned(ct: sitk.Image, shapes: dict[str, Shape], body: Body) -> str | None:
    """The sentence on a scan whose patient seems to lie otherwise than it says, None where nothing tells so."""
    seen = ["upside down, its head where the feet should be"] if is_upside_down(shapes) else []
    towards = face(ct, shapes, body)
    if towards == "back":
        seen.append("turned front to back, its face where the back should be")
    elif towards in ("left", "right"):
        seen.append(f"turned on its side, its face where the patient's {towards} should be")
    if not seen:
        return None
    return (
        f"{LOOKS}{', and '.join(seen)}; left and right may be swapped with it: use none of its contours, check Patient "
        "Position (head or feet first, supine or prone) at the scanner, and send the scan again with the right one."
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
    return all(
        is_plausible(mm, one) or (axis != "S" and is_plausible(-mm, one))
        for axis, mm, one in zip(AXES, offset, bounds, strict=True)
    )


def face(ct: sitk.Image, shapes: dict[str, Shape], body: Body) -> str | None:
    """On which side of the cord the airways are: "front", "back", "left" or "right", None if they are not seen."""
    if CORD not in shapes or not body.found:
        return None
    ml = _airways_ml(ct, shapes[CORD], body)
    along = _more(ml, "front", "back")
    # One lung alone, where a scan was cut, is no throat: a head must be there, and not lie as heads do.
    is_aside = along is None and HEAD in shapes and not shapes.keys() >= PAROTIDS
    return _more(ml, "left", "right") if is_aside else along


def _more(ml: dict[str, float], one: str, other: str) -> str | None:
    """The side that has the airways, None where neither clearly has."""
    most, least = sorted((one, other), key=ml.__getitem__, reverse=True)
    return most if ml[most] >= max(LEAST_ML, TIMES * ml[least]) else None


def _airways_ml(ct: sitk.Image, cord: Shape, body: Body) -> dict[str, float]:
    """ml of airways on each of the cord's four sides."""
    air, points = body.airways(LUNG_CM2), organ_points(ct, cord)
    ml = {}
    for side, towards in SIDES.items():
        left, back = _aside(body.points(air & body.covered(towards, FLESH_MM)), points).T
        along, across = (back, left) if side in ("front", "back") else (left, back)
        there = (along > 0 if towards[1] == "+" else along < 0) & (np.abs(along) > np.abs(across))
        away = np.hypot(left, back)
        ml[side] = int(np.count_nonzero(there & (away >= AIR_MM[0]) & (away <= AIR_MM[1]))) * body.sample_ml
    return ml


def _aside(points: np.ndarray, cord: np.ndarray) -> np.ndarray:
    """(n, 2) mm towards L and P of points from the cord's middle at their height;
    those above and below the cord are left out.

    points, cord: (n, 3) LPS mm.
    """
    levels, at = np.unique(np.rint(cord[:, 2] / LEVEL_MM), return_inverse=True)
    middles = np.stack([np.bincount(at, cord[:, axis]) / np.bincount(at) for axis in (0, 1)], axis=1)
    heights = np.rint(points[:, 2] / LEVEL_MM)
    level = np.minimum(np.searchsorted(levels, heights), len(levels) - 1)
    return (points[:, :2] - middles[level])[levels[level] == heights]
