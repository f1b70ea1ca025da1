"""Does a left organ lie on the left?

The six organs of the measured ranges lie clear of the midline. Of others that is not known: the right ventricle of the
heart lies to the left. But every left organ lies to the left of its right fellow.
"""

from __future__ import annotations

import numpy as np

from ..result import Organ
from .kinds import is_measured, partner, side_of_name
from .shapes import Shape
from .tissue import Body

SIDES = {"7771000": "left", "24028007": "right"}  # SNOMED CT
OTHER = {"left": "right", "right": "left"}
ACROSS_MM = 10.0  # by so much all of an organ lies beyond a midline that is known to some millimetres


def side_of(organ: Organ) -> str | None:
    """ "left", "right" or None, from the laterality code or TG-263's suffix."""
    if organ.laterality:
        return SIDES.get(organ.laterality.get("value", ""))
    return side_of_name(organ.name)


def wrong_side(organs: list[Organ], shapes: dict[str, Shape], body: Body) -> dict[str, str]:
    """Organ name -> the end of a sentence on it, for those that lie on another side than their own."""
    wrong = {}
    for organ in organs:
        side, shape = side_of(organ), shapes.get(organ.name)
        if side is None or shape is None:
            continue
        fellow = shapes.get(partner(organ.name) or "")
        if is_measured(organ.name) or fellow is None:
            if is_across(shape, side, shapes, body):
                wrong[organ.name] = (
                    f"lies in the {OTHER[side]} half of the patient: left and "
                    "right may be swapped, or it is another organ."
                )
        elif (shape.centre[0] > fellow.centre[0]) != (side == "left"):
            wrong[organ.name] = f"lies to the {OTHER[side]} of {fellow.name}: left and right may be swapped."
    return wrong


def is_across(shape: Shape, side: str, shapes: dict[str, Shape], body: Body) -> bool:
    """Whether the organ's middle or, where no ranges were measured, all of it lies across the midline.

    The midline is the median of the brainstem's, the cord's top's and the body's middle: one of them may be wrong.
    """
    middles = [shapes[name].landmark[0] for name in ("Brainstem", "SpinalCord") if name in shapes]
    middle = body.middle_l(shape)
    middles += [] if middle is None else [middle]
    if not middles:
        return False
    midline = float(np.median(middles))
    if is_measured(shape.name):
        return bool((shape.centre[0] > midline) != (side == "left"))
    beyond = midline - shape.high[0] if side == "left" else shape.low[0] - midline
    return bool(beyond >= ACROSS_MM)
