"""Does the patient lie in the scan as it says? Told before any organ is judged by itself, for the network contours much of a
patient who was scanned head first and called feet first, or lay prone and was called supine.

Upside down is told by the organs: every patient's eyes lie above the parotids, these above the middle of the cord, and so on. Which
way the face looks is told by the air: throat and windpipe run in front of the cord, and nothing of the kind behind or beside it.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .shapes import CORD, Shape, organ_points
from .tissue import Body

LOOKS = "The scan looks "  # how every sentence of this file begins
GROUPS = {"eyes": ("Eye_L", "Eye_R"), "brainstem": ("Brainstem",), "parotids": ("Parotid_L", "Parotid_R"), "cord": (CORD,)}
HIGHER = (
    ("eyes", "brainstem"),
    ("eyes", "parotids"),
    ("eyes", "cord"),
    ("brainstem", "parotids"),
    ("brainstem", "cord"),
    ("parotids", "cord"),
)
APART_MM = 10.0  # in height: less tells nothing
AIR_MM = (12.0, 60.0)  # from the cord's middle: outside of it, and not so far as the lungs' sides or the headrest
LUNG_CM2 = 20.0  # of air in one place of a slice: no throat has so much
LEAST_ML, TIMES = 4.0, 4.0  # of air on one side of the cord, and as many times that on the opposite one; in scans as they should be 12 ml and more
LEVEL_MM = 4.0  # the cord's middle is that of so much of its length
OPPOSITE = {"front": "back", "back": "front", "left": "right", "right": "left"}


def turned(ct: sitk.Image, shapes: dict[str, Shape], body: Body) -> str | None:
    """The sentence on a scan whose patient seems to lie otherwise than it says, None where nothing tells so."""
    seen = ["upside down, its head where the feet should be"] if is_upside_down(shapes) else []
    towards = face(ct, shapes.get(CORD), body)
    if towards == "back":
        seen.append("turned front to back, its face where the back should be")
    elif towards in ("left", "right") and not shapes.keys() >= set(GROUPS["parotids"]):  # whoever has both, left and right, lies on no side
        seen.append(f"turned on its side, its face where the patient's {towards} should be")
    if not seen:
        return None
    return (
        f"{LOOKS}{', and '.join(seen)}; left and right may be swapped with it: use none of its contours, check Patient Position "
        "(head or feet first, supine or prone) at the scanner, and send the scan again with the right one."
    )


def is_upside_down(shapes: dict[str, Shape]) -> bool:
    """Whether more pairs of organs lie the wrong way round than the right one from head to foot."""
    heights = {}
    for group, names in GROUPS.items():
        if found := [shapes[name].centre[2] for name in names if name in shapes]:
            heights[group] = float(np.mean(found))
    offsets = [heights[upper] - heights[lower] for upper, lower in HIGHER if upper in heights and lower in heights]
    return bool(sum(np.sign(offset) for offset in offsets if abs(offset) >= APART_MM) < 0)


def face(ct: sitk.Image, cord: Shape | None, body: Body) -> str | None:
    """On which side of the cord the airways are: "front", "back", "left" or "right", None if they are not seen."""
    if cord is None or not body.found:
        return None
    air, points = body.enclosed_air(LUNG_CM2), organ_points(ct, cord)
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
    return most if ml[most] >= max(LEAST_ML, TIMES * ml[OPPOSITE[most]]) else None
