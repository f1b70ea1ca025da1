"""What each segment will be in an RTSTRUCT: its name, who drew it, and its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import WrongUsage
from ...rtstruct.rois import interpreted_type
from .. import provenance, terminology
from ..voxels import Mask

KINDS = ("ORGAN", "GTV", "CTV", "PTV", "EXTERNAL")
# Words of a name that may mean a target; whether it is one, and which, only its author knows.
_TARGET_WORDS = (
    "tumor",
    "tumour",
    "target",
    "lesion",
    "boost",
    "metast",
    "cancer",
    "carcinoma",
    "tv_",
    "lymph",
    "node",
)


class UnclearType(WrongUsage):
    """segments: names of the segments of which someone must say whether they are targets or organs."""

    def __init__(self, segments: list[str]):
        super().__init__(
            f"It is not clear whether {', '.join(segments)} {'is a target' if len(segments) == 1 else 'are targets'}: "
            "say for each whether it is an organ, a GTV, a CTV or a PTV."
        )
        self.segments = segments


@dataclass(frozen=True)
class PlannedRoi:
    """One segment as it will be exported.

    organ: the model's organ that it is, if any (its code goes along); algorithm: AUTOMATIC, SEMIAUTOMATIC or MANUAL;
    interpreted_type: one of KINDS, None where someone must be asked; empty: no voxel, so that there will be no ROI;
    left_out: by the user (scene.leave_out).
    """

    segment_id: str
    name: str
    organ: str | None
    algorithm: str
    interpreted_type: str | None
    empty: bool
    left_out: bool = False

    @property
    def saved(self) -> bool:
        return not self.empty and not self.left_out


def roi_plan(
    node, types: Mapping[str, str] | None = None, masks: Mapping[str, Mask | None] | None = None
) -> list[PlannedRoi]:
    """Every segment of a segmentation, in its order; types: segment name -> one of KINDS, as someone answered; masks:
    provenance.own_masks, where they are at hand.

    Raises WrongUsage for a type that is none, and for two segments of one name that are to be saved.
    """
    types = types or {}
    if wrong := set(types.values()) - set(KINDS):
        raise WrongUsage(f"{min(wrong)!r} is no type of a region: use one of {', '.join(KINDS)}.")
    organs, result = provenance.organs_behind(node), provenance.result_of(node)
    masks = provenance.own_masks(node) if masks is None else masks
    plan: list[PlannedRoi] = []
    taken: dict[str, str] = {}
    for segment_id, segment in provenance.segments(node).items():
        name = segment.GetName().strip()
        left_out = provenance.is_left_out(segment)
        if not left_out and taken.setdefault(name.casefold(), segment_id) != segment_id:
            raise WrongUsage(f"Two segments are called {name!r}: give each a name of its own.")
        organ = organs.get(segment_id)
        kind = types.get(name) or ("ORGAN" if organ is not None else _kind(segment, name))
        mask = masks.get(segment_id)
        algorithm = provenance.algorithm_of(node, segment_id, mask, result)
        known = organ.name if organ else None
        plan.append(PlannedRoi(segment_id, name, known, algorithm, kind, mask is None, left_out))
    return plan


def _kind(segment, name: str) -> str | None:
    """By its terminology where that names a target, else by its TG-263 name; None if it may be a target."""
    target = terminology.target_type(segment.GetTerminology())
    if target:
        return target
    if (named := interpreted_type(name)) != "ORGAN":
        return named
    unclear = target == "" or any(word in name.casefold() for word in _TARGET_WORDS)
    return None if unclear else "ORGAN"
