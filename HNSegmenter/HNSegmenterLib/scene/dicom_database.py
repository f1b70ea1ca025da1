"""Slicer's DICOM database: import a folder, load one series, find a volume's original files again.

Needs the application: `slicer.dicomDatabase` and DICOMLib are imported when called. The only exception are functions
that are given the files or a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer

from ..errors import HNSegmenterError, UnusableInput
from ..events import Emit
from ..rtstruct.tracing.planes import to_patient
from .grid import RAS_TO_LPS, Grid
from .volumes import instance_uids, is_acquisition_transform, rtstruct_impossible

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

    from ..dicom import PlanningCT

SERIES_TAG = "0020,000E"
SCALAR_VOLUMES = "DICOMScalarVolumePlugin"
SAVED = "RTSTRUCT"
MOVED = (
    "{} does not lie where its DICOM slices are: it was resampled, a transform was hardened on it, or Slicer's setting "
    "Acquisition geometry regularization (Application Settings, DICOM) is not "
    "the default. Set that, and load the CT again."
)


def import_and_load(files: Sequence[Path], series_uid: str) -> vtkMRMLScalarVolumeNode:
    """Index these files in the DICOM database, where they are, and load the volume that exactly they make.

    Where Slicer offers several readings (a localizer apart, say), the one with most slices stays. Raises
    HNSegmenterError if Slicer can do neither.
    """
    from DICOMLib import DICOMUtils

    database = _database()
    paths = [str(file) for file in files]
    _index(paths, copy=False)
    if not database.filesForSeries(series_uid):
        raise HNSegmenterError(
            f"Series {series_uid} could not be imported into Slicer's DICOM database: is its disk full?"
        )
    offered, _ = DICOMUtils.getLoadablesFromFileLists([paths], [SCALAR_VOLUMES])
    DICOMUtils.selectHighestConfidenceLoadables(offered)
    nodes = map(slicer.mrmlScene.GetNodeByID, DICOMUtils.loadLoadables(offered))
    volumes = [node for node in nodes if node is not None and node.IsA("vtkMRMLScalarVolumeNode")]
    if not volumes:
        raise HNSegmenterError(f"Slicer could not load series {series_uid}: its error log (menu View) says why.")
    volumes.sort(key=lambda node: len(instance_uids(node)))
    for other in volumes[:-1]:
        transform = other.GetParentTransformNode()
        if is_acquisition_transform(transform, other):
            slicer.mrmlScene.RemoveNode(transform)
        slicer.mrmlScene.RemoveNode(other)
    return volumes[-1]


def copied(files: Sequence[Path], uids: Sequence[str], series_uid: str) -> list[Path]:
    """Copies of a series' slices in the database's own folder, for files that will go away.

    uids: the files' SOP Instance UIDs. Slices that the database has stay where they are. Raises HNSegmenterError.
    """
    database = _database()
    known = [database.fileForInstance(uid) for uid in uids]
    if any(path and not Path(path).is_file() for path in known):
        database.removeSeries(series_uid)  # or the indexer takes what is gone for there
    _index([str(file) for file in files], copy=True)
    try:
        return files_of(uids)
    except UnusableInput as error:
        raise HNSegmenterError(
            f"Series {series_uid} could not be copied into Slicer's DICOM database: is its disk full?"
        ) from error


def load_instances(uids: Sequence[str]) -> vtkMRMLScalarVolumeNode:
    """The volume of slices that the database knows, by their SOP Instance UIDs.
    Raises as files_of and import_and_load."""
    return import_and_load(files_of(uids), _database().instanceValue(uids[0], SERIES_TAG))


def original_files(volume: vtkMRMLScalarVolumeNode) -> list[Path]:
    """The DICOM files that a volume was loaded from, in order of k.
    Raises UnusableInput if it is not from DICOM, or as files_of."""
    if reason := rtstruct_impossible(volume):
        raise UnusableInput(reason)
    return files_of(instance_uids(volume))


def files_of(uids: Sequence[str]) -> list[Path]:
    """Where the database has these slices. Raises UnusableInput if it does not know one, or its file is gone."""
    database = _database()
    files = [Path(database.fileForInstance(uid)) for uid in uids]
    if missing := sum(not file.is_file() for file in files):
        raise UnusableInput(
            f"{missing} of the CT's {len(files)} DICOM files are no longer where they were loaded from: "
            "put them back or load the CT's folder again."
        )
    return files


def planning_ct(volume: vtkMRMLScalarVolumeNode, folder: Path | None = None, emit: Emit | None = None) -> PlanningCT:
    """The original series of a volume, read and checked as the command line does.

    folder: where the DICOM files are; default what the DICOM database says. Raises UnusableInput if it cannot be had,
    or is not the series that the volume was loaded from.
    """
    from ..dicom import find_series, inventory_of, read_series

    if reason := rtstruct_impossible(volume):
        raise UnusableInput(reason)
    wanted = set(instance_uids(volume))
    if folder is not None:
        inventory = find_series(folder, emit)
    else:
        files = original_files(volume)
        inventory = inventory_of(files, files[0].parent, emit)
    for series in inventory.series:
        if wanted & {header.text("SOPInstanceUID") for header in series.headers}:
            ct = read_series(inventory, series.uid, emit)
            break
    else:
        raise UnusableInput(
            f"{inventory.path} does not hold the series of {volume.GetName()}: choose the folder it was loaded from."
        )
    if not wanted <= {header.text("SOPInstanceUID") for header in series.headers}:
        raise UnusableInput(
            f"Slices of {volume.GetName()} are missing in {inventory.path}: choose the folder it was loaded from."
        )
    if not _in_place(volume, ct):
        raise UnusableInput(MOVED.format(volume.GetName()))
    return ct


def _in_place(volume: vtkMRMLScalarVolumeNode, ct: PlanningCT) -> bool:
    """Whether the scene shows every slice where its DICOM file says:
    by the volume's axes, or by its acquisition transform."""
    if is_acquisition_transform(volume.GetParentTransformNode(), volume):
        return True
    grid, slices = Grid.of_volume(volume), ct.slices
    if grid.size != (slices[0].columns, slices[0].rows, len(slices)):
        return False
    ends = np.array([[0, 0], [slices[0].columns - 1, slices[0].rows - 1]], float)  # (column, row)
    said = np.array([to_patient(slice_, ends) for slice_ in slices])
    shown = (
        np.array([[(*end, k, 1) for end in ends] for k in range(len(slices))]) @ (RAS_TO_LPS @ grid.ijk_to_ras)[:3].T
    )
    return bool(np.linalg.norm(shown - said, axis=2).max() <= min(ct.image.GetSpacing()) / 2)


def source_folder(volume: vtkMRMLScalarVolumeNode) -> Path | None:
    """Where the volume came from: its DICOM files' folder, or that of its NIfTI or NRRD file; None if unknown."""
    if instance_uids(volume):
        try:
            return original_files(volume)[0].parent
        except HNSegmenterError:
            return None
    storage = volume.GetStorageNode()
    name = storage.GetFileName() if storage is not None else None
    return Path(name).parent if name else None


def propose_folder(volume: vtkMRMLScalarVolumeNode) -> Path:
    """A folder for the results, beside the CT's own, that is not there yet."""
    source = source_folder(volume)
    database = getattr(getattr(slicer, "dicomDatabase", None), "databaseDirectory", None)
    copied = (
        source is not None and database and source.is_relative_to(database)
    )  # results do not belong in the database
    home, name = (Path.home(), SAVED) if source is None or copied else (source.parent, f"{source.name}-{SAVED}")
    numbers = (f"{name}{suffix}" for suffix in ["", *(f"-{n}" for n in range(2, 1000))])
    return next((home / number for number in numbers if not (home / number).exists()), home / name)


def _index(paths: list[str], copy: bool) -> None:
    import ctk

    indexer = ctk.ctkDICOMIndexer()
    indexer.addListOfFiles(_database(), paths, copy)
    indexer.waitForImportFinished()


def _database():
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        raise UnusableInput(
            "Slicer's DICOM database is not open: open the DICOM module once, and create it there if asked."
        )
    return database
