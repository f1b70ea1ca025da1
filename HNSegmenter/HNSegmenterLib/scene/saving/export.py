"""A segmentation in the scene as RTSTRUCT on its original CT."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...checks import LOOKS
from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...events import Emit, Event, ignore
from ...pipeline import RTSTRUCT
from ...rtstruct import NameTable, Options, Roi, agreement, build, complete, pair, trace, write
from ...rtstruct.readback import LEAST_DICE
from ...settings import Settings
from ...silent_libraries import quiet
from ...staging import move_in, staging
from .. import provenance
from ..dicom_database import planning_ct
from ..volumes import rtstruct_impossible
from . import slicer_rt
from .label_images import Labelmaps, labelmaps, nothing_to_save
from .rois import PlannedRoi, UnclearType, roi_plan

if TYPE_CHECKING:
    import SimpleITK as sitk
    from pydicom.dataset import Dataset
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

    from ...dicom import PlanningCT
    from ...result import Organ, Result

SLICER_RT, OWN = "SlicerRT", "HN Segmenter"
DESCRIPTION = "HN Segmenter: contours, to be reviewed"


@dataclass(frozen=True)
class SavedRoi:
    """One region as it stands in the file; dice: of its contours, read back, with the segment's voxels."""

    name: str
    algorithm: str
    interpreted_type: str
    contours: int
    dice: float


@dataclass
class Saved:
    """What was written; way: whose contours they are ("SlicerRT" or "HN Segmenter"), why: the reason, as a sentence."""

    path: Path
    rois: list[SavedRoi]
    way: str
    why: str
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Job:
    node: vtkMRMLSegmentationNode
    volume: vtkMRMLScalarVolumeNode
    ct: PlanningCT
    plan: list[PlannedRoi]
    masks: Labelmaps
    options: Options


def planned_files(_node: vtkMRMLSegmentationNode, folder: Path) -> list[Path]:
    """What export_rtstruct will write."""
    return [folder / RTSTRUCT]


@quiet()
def export_rtstruct(
    node: vtkMRMLSegmentationNode,
    folder: Path,
    volume: vtkMRMLScalarVolumeNode | None = None,
    *,
    types: Mapping[str, str] | None = None,
    names: NameTable | None = None,
    overwrite: bool = False,
    use_slicer_rt: bool = True,
    dicom_folder: Path | None = None,
    emit: Emit = ignore,
) -> Saved:
    """Write folder/rtstruct.dcm on the original series, through SlicerRT's exporter where that can do it,
    and compare it.

    volume: default the segmentation's own CT. types: segment name -> ORGAN, GTV, CTV, PTV or EXTERNAL, where asked.
    names: the clinic's own, default the table that the settings name. dicom_folder: where the CT's files are, default
    as the DICOM database says.
    Raises UnclearType where it must be asked what a segment is; WrongUsage (names, folder), UnusableInput (no DICOM CT,
    nothing drawn), HNSegmenterError (disk, or the file differs from the segments: nothing is kept then).
    """
    folder = Path(folder)
    if (folder / RTSTRUCT).exists() and not overwrite:
        raise WrongUsage(f"{folder} already holds {RTSTRUCT}: choose another folder.")
    emit(Event("progress", "read", 0.0))
    job = _prepare(node, volume, types, names, dicom_folder)
    emit(Event("progress", "rtstruct", slicer_rt.DRAWING[0]))
    dataset, way, why, warnings = _drawn(job, use_slicer_rt, emit)
    emit(Event("progress", "write", slicer_rt.DRAWING[1]))
    with staging(folder, uuid.uuid4().hex, "RTSTRUCT") as staged:
        write(dataset, staged / RTSTRUCT)
        scores = _read_back(staged / RTSTRUCT, job)
        if worst := [name for name, dice in scores.items() if dice < LEAST_DICE]:
            raise HNSegmenterError(
                f"The contours of {', '.join(worst)} in the file differ from the segments: "
                "nothing was kept. Smooth them and try again."
            )
        move_in(staged, folder, [RTSTRUCT])
    emit(Event("progress", "write", 1.0))
    return Saved(folder / RTSTRUCT, _saved_rois(dataset, scores), way, why, [*job.ct.warnings, *warnings])


def _prepare(node, volume, types, names: NameTable | None, dicom_folder: Path | None) -> _Job:
    volume = volume or provenance.volume_of(node)
    if reason := rtstruct_impossible(volume):
        raise UnusableInput(reason)
    everything = roi_plan(node, types)
    plan = [roi for roi in everything if roi.saved]
    left_out = [roi for roi in everything if roi.left_out and not roi.empty]
    if not plan:
        raise UnusableInput(nothing_to_save(node))
    if unclear := [roi.name for roi in plan if roi.interpreted_type is None]:
        raise UnclearType(unclear)
    ct = planning_ct(volume, dicom_folder)
    masks = labelmaps(node, ct.image)
    if outside := [roi.name for roi in plan if roi.name not in masks]:
        raise UnusableInput(f"{', '.join(outside)} lies outside the CT: move or remove it.")
    options = _options(plan, left_out, _clinics_names() if names is None else names)
    return _Job(node, volume, ct, plan, masks, options)


def _clinics_names() -> NameTable:
    path = Settings.load().names
    return NameTable.read(Path(path)) if path else NameTable()


def _options(plan: list[PlannedRoi], left_out: list[PlannedRoi], names: NameTable) -> Options:
    """Names, authors and kinds by the name that `complete` knows an ROI by: an organ's TG-263 name, else its own."""
    renamed = {roi.organ: roi.name for roi in plan if roi.organ and roi.name != roi.organ}
    all_names = NameTable({**names.own_names, **renamed})
    known = {roi.segment_id: roi.organ or all_names.organ_of(roi.name) for roi in plan}
    return Options(
        names=all_names,
        algorithms={known[roi.segment_id]: roi.algorithm for roi in plan},
        types={known[roi.segment_id]: roi.interpreted_type for roi in plan if roi.interpreted_type is not None},
        series_description=DESCRIPTION,
        left_out={roi.organ for roi in left_out if roi.organ is not None},
    )


def _drawn(job: _Job, use_slicer_rt: bool, emit: Emit) -> tuple[Dataset, str, str, list[str]]:
    """The completed data set, whose contours they are, why, and what had to be changed."""
    why = slicer_rt.slicer_rt_problem(job.volume, job.ct) if use_slicer_rt else "it was asked for"
    if why is None and (odd := [roi.name for roi in job.plan if not roi.name.isascii()]):
        why = f"SlicerRT cannot write the name {odd[0]}"
    if why is None:
        try:
            dataset, warnings = _completed(slicer_rt.export(job.node, job.volume, job.ct, emit), job)
            scores = agreement(dataset, job.ct, _by_roi_name(job))
            if min(scores.values()) >= LEAST_DICE:
                return dataset, SLICER_RT, "SlicerRT's exporter drew the contours.", warnings
            why = (
                f"SlicerRT's contours of {min(scores, key=scores.__getitem__)} differ from the segment (Dice "
                f"{min(scores.values()):.3f})"
            )
        except HNSegmenterError as fault:
            why = fault.sentence[:1].lower() + fault.sentence[1:].rstrip(".")
            if why.startswith("slicerRT"):
                why = f"S{why[1:]}"
    rois = [Roi(roi.name, None, trace(job.ct, job.masks[roi.name])) for roi in job.plan]
    dataset, warnings = _completed(build(job.ct, rois), job)
    return dataset, OWN, f"HN Segmenter drew the contours itself, since {why}.", warnings


def _completed(drawn: Dataset, job: _Job) -> tuple[Dataset, list[str]]:
    result = provenance.result_of(job.node)
    warnings: list[str] = []
    model, said = (result.model, result.warnings) if result else (None, [])
    options = replace(job.options, remarks=[warning for warning in said if warning.startswith(LOOKS)])
    return complete(drawn, job.ct, model, _organs(job, result), options, warnings.append), warnings


def _organs(job: _Job, result: Result | None) -> list[Organ]:
    """Those of the run, each of the model that drew the segment which is now that organ."""
    segments = provenance.segments(job.node)
    drew = {roi.organ: provenance.model_of(segments[roi.segment_id]) for roi in job.plan}
    return [replace(organ, model=drew.get(organ.name) or organ.model) for organ in (result.organs if result else [])]


def _by_roi_name(job: _Job) -> Mapping[str, sitk.Image]:
    names = job.options.names
    return job.masks.renamed({names.own_name(roi.organ or names.organ_of(roi.name)): roi.name for roi in job.plan})


def _read_back(path: Path, job: _Job) -> dict[str, float]:
    import pydicom

    return agreement(pydicom.dcmread(path), job.ct, _by_roi_name(job))


def _saved_rois(dataset: Dataset, scores: Mapping[str, float]) -> list[SavedRoi]:
    saved = []
    for roi in pair(dataset).rois:
        (kind,) = roi.interpreted_types
        saved.append(
            SavedRoi(roi.name, str(roi.item.ROIGenerationAlgorithm), kind, len(roi.contours), scores[roi.name])
        )
    return saved
