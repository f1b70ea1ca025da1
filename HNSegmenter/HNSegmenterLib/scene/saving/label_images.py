"""Segments as labelmaps: on the CT's grid for the RTSTRUCT, and as files where none is possible."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import SimpleITK as sitk
import slicer

from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...staging import move_in, staging
from .. import provenance
from ..grid import Grid
from ..volumes import frame_of
from ..voxels import Mask, segment_mask

SEGMENTATION_FILE = "segmentation.seg.nrrd"


class Labelmaps(Mapping):
    """Name -> binary uint8 image, 0/1, on one grid; each is made when it is asked for.

    Of 60 organs on a planning CT, all at once would take 2 GB.
    """

    def __init__(self, masks: dict[str, Mask], size: tuple[int, int, int], place: Callable[[sitk.Image], object]):
        self._masks, self._size, self._place = masks, size, place

    def __getitem__(self, name: str) -> sitk.Image:
        image = sitk.GetImageFromArray(self._masks[name].full(self._size))
        self._place(image)
        return image

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def renamed(self, names: Mapping[str, str]) -> Labelmaps:
        """The same images under other names; names: new name -> name."""
        return Labelmaps({new: self._masks[old] for new, old in names.items()}, self._size, self._place)


def labelmaps(node, target) -> Labelmaps:
    """Segment name -> image on the target's grid; segments that are empty or left out (scene.leave_out) are not there.

    target: a volume node, or a SimpleITK image that lies where the segmentation's CT lies. Raises WrongUsage for two
    segments of one name.
    """
    volume = target if hasattr(target, "GetImageData") else provenance.volume_of(node)
    grid = Grid.of_volume(target) if volume is target else Grid.of_image(target)
    frame = frame_of(volume) if volume is not None else node.GetParentTransformNode()
    masks: dict[str, Mask] = {}
    for segment_id, segment in provenance.segments(node).items():
        if provenance.is_left_out(segment):
            continue
        mask = segment_mask(node, segment_id, grid, frame)
        if mask is None:
            continue
        name = segment.GetName().strip()
        if name in masks:
            raise WrongUsage(f"Two segments are called {name!r}: give each a name of its own.")
        masks[name] = mask
    if volume is target:
        return Labelmaps(masks, grid.size, grid.place)
    return Labelmaps(masks, grid.size, lambda image: image.CopyInformation(target))  # to the last digit


def save_labelmaps(node, folder: Path, volume=None, overwrite: bool = False) -> list[Path]:
    """Write <segment>.nii.gz for every segment, on the CT's grid, and the segmentation as .seg.nrrd;
    return their paths. Those that are left out (scene.leave_out) are in neither.

    Raises UnusableInput if there is nothing to write, WrongUsage if files are there already, HNSegmenterError if the
    disk refuses: nothing is left then.
    """
    volume = volume or provenance.volume_of(node)
    if volume is None:
        raise UnusableInput(
            f"The CT of {node.GetName()} is not in the scene: load it again, and choose it for the segmentation."
        )
    images = labelmaps(node, volume)
    if not images:
        raise UnusableInput(nothing_to_save(node))
    names = {file_name(name): name for name in images}
    if len(names) < len(images):
        raise WrongUsage("Two segments' names give the same file name: rename one of them.")
    parts = [*names, SEGMENTATION_FILE]
    there = [part for part in parts if (folder / part).exists()]
    if there and not overwrite:
        raise WrongUsage(f"{folder} already holds {', '.join(there)}: choose another folder.")
    with staging(folder, uuid.uuid4().hex, "labelmaps") as staged:
        for file, name in names.items():
            _write(images[name], staged / file)
        _write_segmentation(node, staged / SEGMENTATION_FILE)
        move_in(staged, folder, parts)
    return [folder / part for part in parts]


def file_name(segment: str) -> str:
    """A segment's name with what no file system takes replaced."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", segment) + ".nii.gz"


def _write(image: sitk.Image, path: Path) -> None:
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise HNSegmenterError(f"{path.name} could not be written: check space and rights there.") from error


def _write_segmentation(node, path: Path) -> None:
    if left_out := provenance.left_out(node):
        whole, node = node, slicer.vtkMRMLSegmentationNode()
        node.Copy(whole)
        for segment_id in left_out:
            node.GetSegmentation().RemoveSegment(segment_id)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not path.is_file():
        raise HNSegmenterError(f"{path.name} could not be written: check space and rights there.")


def nothing_to_save(node) -> str:
    """A sentence on a segmentation without a contour, or one whose contours are all left out."""
    if any(provenance.own_mask(node, segment_id) is not None for segment_id in provenance.left_out(node)):
        return f"All contours of {node.GetName()} are left out: tick those that are to be saved."
    return f"{node.GetName()} has no contour: there is nothing to save."
