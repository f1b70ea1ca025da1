"""Segments as labelmaps: on the CT's grid for the RTSTRUCT, and as files where none is possible."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import SimpleITK as sitk
import slicer

from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...staging import move_in, staging
from .. import provenance
from ..grid import Grid
from ..volumes import frame_of
from ..voxels import segment_mask

SEGMENTATION_FILE = "segmentation.seg.nrrd"


def labelmaps(node, target) -> dict[str, sitk.Image]:
    """Segment name -> binary uint8 image, 0/1, on the target's grid; empty segments are left out.

    target: a volume node, or a SimpleITK image that lies where the segmentation's CT lies. Raises WrongUsage for two
    segments of one name.
    """
    volume = target if hasattr(target, "GetImageData") else provenance.volume_of(node)
    grid = Grid.of_volume(target) if volume is target else Grid.of_image(target)
    frame = frame_of(volume) if volume is not None else node.GetParentTransformNode()
    images: dict[str, sitk.Image] = {}
    for segment_id, segment in provenance.segments(node).items():
        mask = segment_mask(node, segment_id, grid, frame)
        if mask is None:
            continue
        name = segment.GetName().strip()
        if name in images:
            raise WrongUsage(f"Two segments are called {name!r}: give each a name of its own.")
        image = sitk.GetImageFromArray(mask.full(grid.size))
        if volume is target:
            grid.place(image)
        else:
            image.CopyInformation(target)  # to the last digit
        images[name] = image
    return images


def save_labelmaps(node, folder: Path, volume=None, overwrite: bool = False) -> list[Path]:
    """Write <segment>.nii.gz for every segment, on the CT's grid, and the segmentation as .seg.nrrd;
    return their paths.

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
        raise UnusableInput(f"{node.GetName()} has no contour: there is nothing to save.")
    names = {file_name(name): image for name, image in images.items()}
    if len(names) < len(images):
        raise WrongUsage("Two segments' names give the same file name: rename one of them.")
    parts = [*names, SEGMENTATION_FILE]
    there = [part for part in parts if (folder / part).exists()]
    if there and not overwrite:
        raise WrongUsage(f"{folder} already holds {', '.join(there)}: choose another folder.")
    with staging(folder, uuid.uuid4().hex, "labelmaps") as staged:
        for name, image in names.items():
            _write(image, staged / name)
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
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not path.is_file():
        raise HNSegmenterError(f"{path.name} could not be written: check space and rights there.")
