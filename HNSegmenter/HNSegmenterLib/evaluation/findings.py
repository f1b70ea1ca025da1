"""What must not happen at all, whatever the mean Dice:
organs that are not there, swapped sides, silence about a missing one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pydicom
import SimpleITK as sitk

from ..result import NOT_FOUND, NOT_IN_MODEL, Organ
from ..silent_libraries import quiet
from .places import centre
from .prediction import RTSTRUCT, Prediction
from .variations import other_side

FALSE, SWAPPED, UNANNOUNCED, FAR = (
    "found where there is none",
    "sides swapped",
    "empty and unannounced",
    "centre far off",
)
CUT_SAID, CUT_UNSAID = "cut, and said so", "cut, and not said"
CHANGED, NEARLY = "not the same again", "the same again but for single voxels"
FAULTS = (FALSE, SWAPPED, UNANNOUNCED, CUT_UNSAID, CHANGED)
INVENTED_SHARE = 0.1  # of the organ's own volume, found anew although all of it is out of view
CUT_SHARE = 0.1  # of the reference on both sides of a cut: less is no cut organ
EYES, FAR_MM = ("Eye_L", "Eye_R"), 4.0


@dataclass(frozen=True)
class Finding:
    """kind: one of the above; variation: "" for the CT as it is."""

    kind: str
    patient: str
    variation: str
    organ: str
    note: str = ""

    def __str__(self) -> str:
        where = f"{self.patient}, {self.variation}" if self.variation else self.patient
        return f"{self.organ} of {where}: {self.kind}" + (f" ({self.note})" if self.note else "")


def swapped_sides(
    predicted: dict[str, np.ndarray], references: dict[str, np.ndarray], grid: sitk.Image
) -> list[tuple[str, str]]:
    """(organ, note) of each left organ whose centre lies further right than its fellow's, and of each organ that covers
    more of its fellow's reference than of its own. Masks [k, j, i] without a voxel are passed over."""
    found = {name: mask for name, mask in predicted.items() if mask.any()}
    swapped = []
    for name, mask in found.items():
        other = other_side(name)
        if name.endswith("_L") and other in found and centre(mask, grid)[0] < centre(found[other], grid)[0]:
            swapped.append((name, f"its centre lies to the right of {other}'s"))
        elif other != name and other in references and name in references:
            wrong, right = (np.count_nonzero(mask & references[side]) for side in (other, name))
            if wrong > right:
                swapped.append((name, f"it lies on the reference of {other}"))
    return swapped


def unannounced(prediction: Prediction, masks: dict[str, np.ndarray | None]) -> list[tuple[str, str]]:
    """(organ, note) of each organ without a voxel of which result.json, or the RTSTRUCT where that was read,
    says nothing.

    masks: those that were read. Without a result.json nothing can be said, and nothing is.
    """
    if prediction.result is None:
        return []
    silent = []
    for organ in prediction.result.organs:
        if organ.name not in masks or organ.status == NOT_IN_MODEL:
            continue
        mask = masks[organ.name]
        if mask is not None and mask.any():
            continue
        if organ.status != NOT_FOUND:
            silent.append((organ.name, f"its status is {organ.status}"))
        elif not organ.checks:
            silent.append((organ.name, "no check speaks of it"))
        elif prediction.contours and organ.name not in _description(prediction):
            silent.append((organ.name, "the RTSTRUCT does not name it"))
    return silent


@quiet()
def _description(prediction: Prediction) -> str:
    return str(pydicom.dcmread(prediction.folder / RTSTRUCT).get("StructureSetDescription", ""))


def is_cut(reference: np.ndarray, in_view: np.ndarray) -> bool:
    """Whether a cut goes through the organ."""
    share = int(np.count_nonzero(reference & in_view)) / max(int(np.count_nonzero(reference)), 1)
    return CUT_SHARE <= share <= 1 - CUT_SHARE


def cut_sentence(organs: Iterable[Organ], name: str, above: bool) -> str | None:
    """The check that says that the organ is cut there or was not found, None if none does."""
    side = "highest" if above else "lowest"
    for organ in organs:
        if organ.name == name:
            return next(
                (check for check in organ.checks if f"touches the {side} slice" in check or "was not found" in check),
                None,
            )
    return None
