"""A job's labelmaps and result.json as one segmentation in the scene, beside its CT."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
import slicer

from ..errors import RuntimeFault, WrongUsage
from ..pipeline import RESULT as RESULT_FILE
from ..pipeline import SEGMENTATIONS, is_binary
from ..result import Organ, Result
from . import provenance, terminology
from .grid import Grid
from .volumes import bends, frame_of
from .voxels import Mask, layers, mask_of_array, shared_image

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

OUTLINE_PIXELS = 2
LABELMAP = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
SURFACE = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()


def show_results(
    folder: Path, volume: vtkMRMLScalarVolumeNode, replace: vtkMRMLSegmentationNode | None = None
) -> vtkMRMLSegmentationNode:
    """One segmentation of the labelmaps in a results folder, in the scene of `volume` and beside it in the hierarchy.

    folder: what `hn-segmenter segment` wrote. replace: an earlier result that goes when the new one is there.
    Raises RuntimeFault if the labelmaps cannot be read or belong to another volume; WrongUsage if `replace` is not this
    module's or was edited. Nothing is left in the scene then.
    """
    steps = show_in_steps(folder, volume, replace)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def show_in_steps(
    folder: Path, volume: vtkMRMLScalarVolumeNode, replace: vtkMRMLSegmentationNode | None = None
) -> Generator[float, None, vtkMRMLSegmentationNode]:
    """show_results for a window that must stay alive: yields the fraction done after every tenth of a second or so.

    The node is the generator's return value (StopIteration.value). Closed early, it leaves nothing in the scene.
    """
    if replace is not None and (not provenance.is_own(replace) or provenance.is_edited(replace)):
        raise WrongUsage(f"{replace.GetName()} holds somebody's own contours: it stays. Rename or remove it by hand.")
    terminology.register()
    result = Result.read(folder / RESULT_FILE)
    found = [organ for organ in result.organs if organ.found]
    masks: dict[str, Mask] = {}
    grid = None if bends(volume) else Grid.of_volume(volume)
    for organ in found:
        masks[organ.name], grid = _read(folder, organ, grid)
        yield len(masks) / (2 * len(found) + 3)
    grid = grid or Grid.of_volume(volume)
    segments = _segments(result, masks, grid)
    for number, segment in enumerate(segments.values(), start=1):
        _add_surface(segment)
        yield (len(found) + number) / (2 * len(found) + 3)
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} HN Segmenter")
    try:
        _fill(node, volume, result, segments, grid)
        yield (2 * len(found) + 1) / (2 * len(found) + 3)
        node.CreateClosedSurfaceRepresentation()  # tells the views; the surfaces are there
        _display(node)
        put_beside(node, volume)
        yield (2 * len(found) + 2) / (2 * len(found) + 3)
    except BaseException:  # GeneratorExit too
        remove(node)
        raise
    if replace is not None and replace.GetScene() is not None:
        remove(replace)
    return node


def _read(folder: Path, organ: Organ, grid: Grid | None) -> tuple[Mask, Grid]:
    """An organ's voxels, and the grid that they lie on: the given one, or the labelmap's own. Raises RuntimeFault."""
    home = folder / SEGMENTATIONS if (folder / SEGMENTATIONS).is_dir() else folder
    try:
        labelmap = sitk.ReadImage(str(home / organ.labelmap))
    except (RuntimeError, TypeError) as error:
        raise RuntimeFault(f"The labelmap of {organ.name} cannot be read: run the segmentation again.") from error
    if not is_binary(labelmap):
        raise RuntimeFault(
            f"The labelmap of {organ.name} is not one of zeros and ones with an "
            "organ in it: run the segmentation again."
        )
    own = Grid.of_image(labelmap)
    if grid is not None and not grid.same_place(own):
        raise RuntimeFault(
            f"The labelmap of {organ.name} does not lie on this CT's grid: choose the CT that was segmented."
        )
    mask = mask_of_array(sitk.GetArrayViewFromImage(labelmap))
    assert mask is not None  # is_binary has seen a voxel of it
    return mask, grid or own


def _segments(result: Result, masks: dict[str, Mask], grid: Grid) -> dict:
    """Organ -> vtkSegment; organs that do not overlap share one labelmap."""
    organs = {organ.name: organ for organ in result.organs}
    images: dict[str, tuple[Any, int]] = {}  # organ -> (image, label)
    for group in layers(masks):
        image = shared_image(group, grid)
        images |= {name: (image, label) for label, name in enumerate(group, start=1)}
    return {name: _segment(organs[name], mask, *images[name]) for name, mask in masks.items()}


def _add_surface(segment) -> None:
    """The segment's closed surface, as a segmentation makes it of all of its segments at once."""
    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(LABELMAP)
    alone.AddSegment(segment)
    alone.CreateRepresentation(SURFACE)


def _fill(node, volume, result: Result, segments: dict, grid: Grid) -> None:
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    geometry = slicer.vtkSegmentationConverter.SerializeImageGeometry(grid.oriented_image())
    segmentation.SetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName(), geometry
    )
    if frame := frame_of(volume):
        node.SetAndObserveTransformNodeID(frame.GetID())
    for name, segment in segments.items():
        segmentation.AddSegment(segment, name)
    node.SetAttribute(provenance.RESULT, json.dumps(result.to_dict()))


def _segment(organ: Organ, mask: Mask, image, label: int):
    segment = slicer.vtkSegment()
    segment.SetName(organ.name)
    segment.SetColor(*(part / 255 for part in organ.color))
    segment.SetLabelValue(label)
    segment.SetTag(provenance.ORGAN, organ.name)
    segment.SetTag(provenance.FINGERPRINT, mask.fingerprint())
    provenance.note_model(segment, organ.model)
    if entry := terminology.entry(organ):
        segment.SetTerminology(entry)
    # Name and colour are the organ's own: a change of terminology must not overwrite them.
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.AddRepresentation(LABELMAP, image)
    return segment


def _display(node) -> None:
    """3D on; outlines in slices, so that the CT below stays to be seen."""
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility3D(True)
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
    display.SetPreferredDisplayRepresentationName2D(LABELMAP)
    display.SetPreferredDisplayRepresentationName3D(SURFACE)


def put_beside(node, volume) -> None:
    """Make the node a sibling of the volume in the subject hierarchy: under its study, if it has one."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if hierarchy is None:
        return
    item = hierarchy.GetItemByDataNode(volume)
    if not item:
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(node)
    if own:
        hierarchy.SetItemParent(own, parent)
    else:
        hierarchy.CreateItem(parent, node)


def remove(node) -> None:
    """Take a segmentation out of its scene, with its display and storage."""
    scene = node.GetScene()
    dependents = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())] + [node.GetStorageNode()]
    scene.RemoveNode(node)  # first: a view that still shows it needs its display node
    for dependent in dependents:
        if dependent is not None:
            scene.RemoveNode(dependent)
