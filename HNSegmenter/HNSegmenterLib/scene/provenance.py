"""Whose a segmentation is: what the network drew, what somebody changed since."""

from __future__ import annotations

import json
from collections.abc import Iterable

import slicer
import vtk

from ..errors import RuntimeFault
from ..result import Organ, Result
from ..rtstruct.rois import AUTOMATIC, MANUAL, SEMIAUTOMATIC, interpreted_type
from .grid import Grid, nodes_of
from .volumes import frame_of
from .voxels import Mask, segment_mask

RESULT = "HNSegmenter.result"  # node attribute: result.json of the run, with model digest and checks
# Segment tags: TG-263 name, SHA-256 as the network drew it, JSON of the model that did; and what a user leaves out.
ORGAN, FINGERPRINT, MODEL = "HNSegmenter.organ", "HNSegmenter.voxels", "HNSegmenter.model"
LEFT_OUT = "HNSegmenter.leftOut"


def is_own(node) -> bool:
    """Whether a node is a segmentation that this module made."""
    return node is not None and node.IsA("vtkMRMLSegmentationNode") and node.GetAttribute(RESULT) is not None


def result_of(node) -> Result | None:
    """The result that a segmentation was made from; None if it is not ours or its record was damaged."""
    if not is_own(node):
        return None
    try:
        return Result.from_dict(json.loads(node.GetAttribute(RESULT)))
    except (ValueError, RuntimeFault):
        return None


def volume_of(node):
    """The CT that a segmentation was made on (its reference volume), or None."""
    return node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def own_results(volume) -> list:
    """This module's segmentations of a CT, oldest first; edited ones too (is_edited tells)."""
    nodes = nodes_of(volume.GetScene(), "vtkMRMLSegmentationNode")
    return [node for node in nodes if is_own(node) and volume_of(node) is volume]


def is_edited(node) -> bool:
    """Whether somebody changed, renamed, added or removed a segment since the network's result was shown."""
    result = result_of(node)
    drawn = {organ.name for organ in result.organs if organ.found} if result else set()
    there = [(tag_of(segment, ORGAN), segment.GetName()) for segment in segments(node).values()]
    renamed = any(organ != name for organ, name in there)
    return renamed or {organ for organ, _ in there} != drawn or bool(edited_segments(node))


def edited_segments(node) -> list[str]:
    """Ids of the segments whose voxels are not (or no longer) the network's."""
    result = result_of(node)
    return [
        segment_id
        for segment_id, mask in own_masks(node).items()
        if algorithm_of(node, segment_id, mask, result) != AUTOMATIC
    ]


def algorithm_of(node, segment_id: str, mask: Mask | None, result: Result | None) -> str:
    """ROI Generation Algorithm: AUTOMATIC as the network drew it, SEMIAUTOMATIC if changed since, MANUAL if added.

    An organ that was given another organ's name is one that somebody changed. mask: own_mask of the segment; result:
    result_of the node.
    """
    segment = node.GetSegmentation().GetSegment(segment_id)
    organ, drawn = tag_of(segment, ORGAN), tag_of(segment, FINGERPRINT)
    if not organ or not drawn:
        return MANUAL
    named = organ_behind(segment, result)
    same = mask is not None and mask.fingerprint() == drawn and named is not None and named.name == organ
    return AUTOMATIC if same else SEMIAUTOMATIC


def model_of(segment) -> dict | None:
    """Name, version and digest of the model that drew a segment; None for one that nobody noted it of."""
    try:
        model = json.loads(tag_of(segment, MODEL) or "null")
    except ValueError:  # a scene file that somebody edited
        return None
    return model if isinstance(model, dict) else None


def note_model(segment, model: dict | None) -> None:
    """Keep on a segment which model drew it: name, version and digest."""
    if model:
        text = json.dumps({key: model.get(key) for key in ("name", "version", "digest")})
        segment.SetTag(MODEL, text.replace("|", "\\u007c"))  # .seg.nrrd parts tags by it


def is_left_out(segment) -> bool:
    """Whether a segment is not to be saved or sent: it stays in the scene."""
    return bool(tag_of(segment, LEFT_OUT))


def left_out(node) -> list[str]:
    """Ids of the segments that are left out."""
    return [segment_id for segment_id, segment in segments(node).items() if is_left_out(segment)]


def leave_out(node, segment_ids: Iterable[str], out: bool = True) -> None:
    """Leave segments out of what is saved and sent, or take them in again; kept with the scene."""
    segmentation = node.GetSegmentation()
    modifying = node.StartModify()
    for segment_id in segment_ids:
        segment = segmentation.GetSegment(segment_id)
        if segment is not None and is_left_out(segment) != out:
            if out:
                segment.SetTag(LEFT_OUT, "1")
            else:
                segment.RemoveTag(LEFT_OUT)
    node.EndModify(modifying)


def organs_behind(node) -> dict[str, Organ]:
    """Segment id -> the model's organ that it is, each organ once:
    a segment of its name comes before one made of it."""
    result, there = result_of(node), segments(node)
    behind = {segment_id: organ_behind(segment, result) for segment_id, segment in there.items()}
    found: dict[str, Organ] = {}
    for by_name in (True, False):
        for segment_id, organ in behind.items():
            if organ and _is_called(there[segment_id], organ) == by_name and organ not in found.values():
                found[segment_id] = organ
    return found


def organ_behind(segment, result: Result | None) -> Organ | None:
    """The model's organ that a segment is: by its name, else (renamed) by what the network drew it as;
    a target is none."""
    organs = result.organs if result else []
    if named := next((organ for organ in organs if _is_called(segment, organ)), None):
        return named
    if interpreted_type(segment.GetName().strip()) != "ORGAN":
        return None
    return next((organ for organ in organs if organ.name == tag_of(segment, ORGAN)), None)


def _is_called(segment, organ: Organ) -> bool:
    return segment.GetName().strip().casefold() == organ.name.casefold()


def own_mask(node, segment_id: str) -> Mask | None:
    """The segment on the segmentation's reference geometry, where the CT lies."""
    volume = volume_of(node)
    grid = Grid.of_segmentation(node)
    if grid is None:
        if volume is None or volume.GetImageData() is None:
            return None
        grid = Grid.of_volume(volume)
    return segment_mask(node, segment_id, grid, frame_of(volume) if volume else node.GetParentTransformNode())


def own_masks(node) -> dict[str, Mask | None]:
    """own_mask of every segment, by its id: a second for 60 organs of a planning CT."""
    return {segment_id: own_mask(node, segment_id) for segment_id in segments(node)}


def segments(node) -> dict:
    """Segment id -> vtkSegment, in the segmentation's order."""
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {segment_id: segmentation.GetSegment(segment_id) for segment_id in ids}


def tag_of(segment, name: str) -> str:
    """A segment's tag, "" if it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
