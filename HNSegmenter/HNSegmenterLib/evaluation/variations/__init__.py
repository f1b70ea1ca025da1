"""Changes of a CT that should not change what is contoured; each makes of a Scan and a Draw a Varied."""

from __future__ import annotations

from .places import cut, mirrored, reoriented, rotated
from .planning import planning_ct
from .scan import Draw, Scan, Variation, Varied, other_side
from .values import again, noise, offset
from .void import half_blanked, void_filled

VARIATIONS: dict[str, Variation] = {
    "again": again,
    "void-filled": void_filled,
    "half-blanked": half_blanked,
    "planning-ct": planning_ct,
    "rotated": rotated,
    "noise": noise,
    "hu+30": offset(30),
    "hu-30": offset(-30),
    "cut": cut,
    "mirrored": mirrored,
    "reoriented": reoriented,
}

__all__ = ["VARIATIONS", "Draw", "Scan", "Variation", "Varied", "other_side"]
