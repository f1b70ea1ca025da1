"""What the table of organs shows, and where an organ is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..result import model_name
from ..rtstruct.rois import AUTOMATIC
from . import provenance
from .grid import Grid
from .voxels import Mask

REMOVED = "removed"
ADDED = "added"


@dataclass
class OrganRow:
    """name: the segment's (or, without one, the organ's TG-263 name); segment_id: None if there is no segment;
    volume_ml: of the voxels as they are now; status: found, not found, not in this model, removed or added;
    checks: sentences of the quality checks, about the contour as the network drew it; edited: changed since;
    model: name and version of the model that drew it, or was to; "" for one that was added; saved: whether it will be,
    where there is a contour: scene.leave_out."""

    name: str
    segment_id: str | None
    volume_ml: float | None
    status: str
    color: tuple[int, int, int]
    checks: list[str] = field(default_factory=list)
    edited: bool = False
    model: str = ""
    saved: bool = True


def organ_rows(node, masks: Mapping[str, Mask | None] | None = None) -> list[OrganRow]:
    """A row for every organ of the models, in their order, then one for every segment that was added.

    masks: provenance.own_masks, where they are at hand.
    """
    result, masks = provenance.result_of(node), provenance.own_masks(node) if masks is None else masks
    grid = Grid.of_segmentation(node)
    voxel_ml = grid.voxel_ml if grid is not None else 0.0

    def row(segment_id: str, status: str, checks: list[str]) -> OrganRow:
        mask = masks.get(segment_id)
        edited = provenance.algorithm_of(node, segment_id, mask, result) != AUTOMATIC
        return _row(node.GetSegmentation().GetSegment(segment_id), segment_id, mask, voxel_ml, status, checks, edited)

    by_organ = {organ.name: segment_id for segment_id, organ in provenance.organs_behind(node).items()}
    added = [segment_id for segment_id in provenance.segments(node) if segment_id not in by_organ.values()]
    rows = []
    for organ in result.organs if result else []:
        if organ.name in by_organ:
            rows.append(row(by_organ[organ.name], organ.status if organ.found else ADDED, organ.checks))
        else:
            status = REMOVED if organ.found else organ.status
            rows.append(
                OrganRow(organ.name, None, None, status, organ.color, list(organ.checks), model=model_name(organ.model))
            )
    return rows + [row(segment_id, ADDED, []) for segment_id in added]


def _row(segment, segment_id: str, mask: Mask | None, voxel_ml: float, status: str, checks, edited: bool) -> OrganRow:
    volume = round(mask.count * voxel_ml, 1) if mask is not None else 0.0
    color = tuple(round(part * 255) for part in segment.GetColor())
    model = model_name(provenance.model_of(segment))
    saved = not provenance.is_left_out(segment)
    return OrganRow(segment.GetName(), segment_id, volume, status, color, list(checks), edited, model, saved)


def organ_center(node, segment_id: str) -> tuple[float, float, float] | None:
    """The middle of a segment in world coordinates (RAS, mm), to jump to; None if it is empty."""
    if provenance.own_mask(node, segment_id) is None:
        return None
    centre = [0.0, 0.0, 0.0]
    node.GetSegmentCenterRAS(segment_id, centre)
    return centre[0], centre[1], centre[2]
