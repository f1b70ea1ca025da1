"""One patient of a collection: a CT, its organs as somebody answers for them, and what is known of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ...checks import run_checks
from ...errors import HNSegmenterError, UnusableInput
from ...result import FOUND, Organ
from ...rtstruct.rois import AUTOMATIC, MANUAL, SEMIAUTOMATIC
from ..corrections.measuring import CORRECTED, Correction

EDITED, UNTOUCHED = "edited", "untouched"
BLACK = (0, 0, 0)  # of organs that are drawn nowhere


class LeftOut(HNSegmenterError):
    """A patient who cannot be collected, and why."""


@dataclass(frozen=True)
class Origin:
    """Where a patient comes from, for the screen and the key file alone. patient: the same for two CTs of one
    person."""

    series: str
    series_uid: str
    patient: str
    structure_set: str = ""


@dataclass(frozen=True)
class Case:
    """image: int16 HU; organs: bool [k, j, i] on its grid, by TG-263 name; algorithms: ROI Generation Algorithm;
    changes: what became of the network's organs, where a network drew any."""

    origin: Origin
    image: sitk.Image
    organs: Mapping[str, np.ndarray]
    algorithms: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Correction, ...] = ()

    def entry(self) -> dict:
        """Of index.json: `context` says which organs count, `organs` what is known of each."""
        known: dict[str, dict] = {
            name: {"algorithm": stated}
            for name, stated in self.algorithms.items()
            if name in self.organs and stated in (AUTOMATIC, SEMIAUTOMATIC, MANUAL)
        }
        for one in self.changes:
            facts = {key: value for key, value in one.to_dict().items() if key != "organ" and value not in (None, "")}
            known.setdefault(one.organ, {}).update(facts)
        return {"context": dict.fromkeys(self.organs, 1.0), "slices_without_context": {}, "organs": known}

    def require(self, only: str | None) -> None:
        """Raises LeftOut unless somebody edited an organ (EDITED), or nobody any (UNTOUCHED)."""
        edited = any(one.change in CORRECTED for one in self.changes)
        if only and edited != (only == EDITED):
            raise LeftOut("Some organs were edited." if edited else "No organ was edited.")

    def require_sound(self) -> None:
        """Raises LeftOut where the checks find something odd in the contours."""
        if said := findings(self.image, self.organs):
            raise LeftOut(" ".join(said))


def findings(image: sitk.Image, organs: Mapping[str, np.ndarray]) -> list[str]:
    """What the quality checks say of contours, whoever drew them; of organs without contours nothing."""
    labelmaps, known = {}, []
    for label, (name, mask) in enumerate(organs.items(), start=1):
        labelmaps[name] = sitk.GetImageFromArray(mask.astype(np.uint8))
        labelmaps[name].CopyInformation(image)
        known.append(Organ(name, label, BLACK, status=FOUND))
    return [sentence for sentences in run_checks(image, labelmaps, known).values() for sentence in sentences]


def drawn_only(organs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those with a voxel. Raises UnusableInput if none is left."""
    found = {name: mask for name, mask in organs.items() if mask.any()}
    if not found:
        raise UnusableInput("No contour of an organ with a known name.")
    return found
