"""A folder or file into the scene as the CT to segment. Needs the application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..errors import UnusableInput
from ..events import Emit, Event
from ..silent_libraries import quiet
from . import dicom_database
from .volumes import bends, check_volume

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

VOLUME_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
SOFT_TISSUE = (400.0, 40.0)  # window and level in HU, as a CT of the neck is read


def load(
    path: Path, series_uid: str | None = None, emit: Emit | None = None, copy: bool = False
) -> vtkMRMLScalarVolumeNode:
    """Load a DICOM folder (or one of its files), or a NIfTI, NRRD or MetaImage file; see load_dicom and load_file."""
    path = Path(path)
    if path.is_file() and path.name.lower().endswith(VOLUME_FILES):
        return load_file(path)
    return load_dicom(path, series_uid, emit, copy)


def load_dicom(
    folder: Path, series_uid: str | None = None, emit: Emit | None = None, copy: bool = False
) -> vtkMRMLScalarVolumeNode:
    """Import the planning CT below a folder into the DICOM database and load exactly that series.

    series_uid: which, where several could be it. copy: for a folder that will go away; else its files are indexed where
    they are. Only the slices are, in any case; emit hears a warning of what else was filed with them. Raises
    UnusableInput with the library's own sentences where there is none,
    several (`candidates`) or it would give wrong contours.
    """
    from ..dicom import find_series
    from ..dicom.accept import arrange, check_headers, check_stack
    from ..dicom.choose import choose, images
    from ..dicom.reading import left_out_warning

    with quiet():
        series = choose(find_series(Path(folder), emit), series_uid)
        slices = images(series)
        check_headers(slices, series.uid)
        arranged = arrange(slices, series.uid)
        check_stack(arranged, series.uid, series.contents.left_out)
    if emit is not None and (warning := left_out_warning(series)):
        emit(Event("warning", message=warning))
    files = [header.path for header in slices]
    if copy:
        files = dicom_database.copied(files, [header.text("SOPInstanceUID") for header in slices], series.uid)
    volume = dicom_database.import_and_load(files, series.uid)
    if not (arranged.kept.even and arranged.kept.upright) and not bends(volume):
        name = volume.GetName()
        slicer.mrmlScene.RemoveNode(volume)
        raise UnusableInput(dicom_database.MOVED.format(name))
    show_ct(volume)
    return volume


def load_file(path: Path) -> vtkMRMLScalarVolumeNode:
    """Load an image file as it is. Raises UnusableInput if Slicer cannot read it or it is no CT volume."""
    try:
        volume = slicer.util.loadVolume(str(path), properties={})
    except RuntimeError as error:
        raise UnusableInput(
            f"{path} cannot be read as an image: give a CT as NIfTI or NRRD, or a DICOM folder."
        ) from error
    try:
        check_volume(volume)
    except UnusableInput:
        slicer.mrmlScene.RemoveNode(volume)
        raise
    show_ct(volume)
    return volume


def show_ct(volume: vtkMRMLScalarVolumeNode) -> None:
    """Soft-tissue window."""
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(*SOFT_TISSUE)
