"""The one way through the house: a CT in, labelmaps, checks, RTSTRUCT and overview out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import HNSegmenterError, RuntimeFault, UnusableInput, WrongUsage
from .events import CancelToken, Emit, Event, ignore
from .job import Job, State
from .result import NOT_IN_MODEL, Organ, Result, model_name
from .runtimes.base import JobFolder, Runtime
from .silent_libraries import quiet
from .staging import move_in, staging

if TYPE_CHECKING:
    import SimpleITK as sitk

    from .dicom import Inventory, PlanningCT
    from .rtstruct.names import NameTable

RTSTRUCT, RESULT, OVERVIEW, SEGMENTATIONS = "rtstruct.dcm", "result.json", "overview.png", "segmentations"
OUTPUTS = (RTSTRUCT, RESULT, OVERVIEW, SEGMENTATIONS)
READING_SHARES = {"find": (0.0, 0.3), "read": (0.3, 1.0)}
NOT_KEPT = "the image or network does not keep its contract, and its results were not used."
NO_RTSTRUCT = (
    "No RTSTRUCT was written: a NIfTI file carries no DICOM patient, study and slices for it to refer to. "
    "Give the DICOM folder of the CT to get one."
)


@dataclass
class Outcome:
    """What a job left: paths are None where nothing of the kind was written."""

    out: Path
    result: Result
    rtstruct: Path | None
    overview: Path
    labelmaps: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspected:
    """What a job is about to leave: the CT (int16 HU), binary labelmaps on its grid by TG-263 name, the result, and
    the folder in which the other files are complete."""

    image: sitk.Image
    labelmaps: Mapping[str, sitk.Image]
    result: Result
    folder: Path


Inspect = Callable[[Inspected], None]


@quiet()
def segment(
    source: Path,
    out: Path,
    runtime: Runtime,
    *,
    series_uid: str | None = None,
    names: NameTable | None = None,
    shown: Sequence[str] = (),
    overwrite: bool = False,
    emit: Emit = ignore,
    cancel: CancelToken | None = None,
    inventory: Inventory | None = None,
    inspect: Inspect | None = None,
) -> Outcome:
    """Segment a DICOM folder or a NIfTI file into the folder out.

    inventory: what the DICOM folder holds, where it was searched before. inspect: is shown image, labelmaps and result
    before they go, and may add to the result. shown: the organs that overview.png shows, see draw_overview.
    out gets all of its files at the end or, on any failure, none. Raises WrongUsage (out cannot be used),
    UnusableInput, RuntimeFault or EngineFault, Cancelled, HNSegmenterError (disk full, say).
    """
    _check_output(out, source, overwrite)
    with Job(emit, cancel) as job:
        job.enter(State.READING)
        ct = None if is_nifti(source) else _read_dicom(source, series_uid, job, inventory)
        folder = _hand_over(source, ct, job)
        job.enter(State.RUNNING)
        emit(Event("progress", "start", None, runtime.describe()))
        result = Result.read(_run(runtime, folder, source, ct, job) / RESULT)
        job.enter(State.CHECKING)
        image = ct.image if ct else _read_image(folder.image)
        labelmaps = _read_labelmaps(folder, result, image)
        if not labelmaps:
            raise UnusableInput(_nothing_found(source, result))
        whole = _check(image, labelmaps, result, ct)
        for sentence in whole:
            emit(Event("warning", message=sentence))
        job.enter(State.WRITING)
        with staging(out, job.id, "results") as staged:
            _write(staged, folder, image, labelmaps, result, whole, ct, names, shown, job)
            job.cancel.raise_if_cancelled()
            result.timings_s["job"] = job.timings()
            result.runtime |= {"where": runtime.name, "why": runtime.describe()}
            if inspect:
                inspect(Inspected(image, labelmaps, result, staged))
            result.write(staged / RESULT)
            move_in(staged, out, OUTPUTS)
        job.enter(State.DONE)
    return Outcome(
        out,
        result,
        out / RTSTRUCT if ct else None,
        out / OVERVIEW,
        {organ.name: out / SEGMENTATIONS / organ.labelmap for organ in result.organs if organ.found},
    )


def _nothing_found(source: Path, result: Result) -> str:
    from .checks import shown

    place = shown(organ.name for organ in result.organs if organ.status != NOT_IN_MODEL)
    return (
        f"{source}: none of the organs was found. Is it a CT of {place}, and does the patient lie as its Patient "
        "Position says?"
    )


def is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".nii", ".nii.gz"))


def _check_output(out: Path, source: Path, overwrite: bool) -> None:
    try:
        source.stat()
    except PermissionError as error:
        raise UnusableInput(f"{source} may not be read: ask its owner for the permission.") from error
    except OSError as error:
        raise UnusableInput(f"{source} does not exist: give a DICOM folder or a NIfTI file.") from error
    if out.exists() and not out.is_dir():
        raise WrongUsage(f"{out} is a file: give a folder for the results.")
    there = [name for name in OUTPUTS if (out / name).exists()]
    if there and not overwrite:
        raise WrongUsage(
            f"{out} already holds {', '.join(there)}: give another folder, or --overwrite to replace them."
        )
    ancestor = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not os.access(ancestor, os.W_OK):
        raise WrongUsage(f"Nothing can be written into {ancestor}: give another folder for the results.")


def _read_dicom(source: Path, series_uid: str | None, job: Job, inventory: Inventory | None) -> PlanningCT:
    from .dicom import read_planning_ct, read_series

    def emit(event: Event) -> None:
        begin, end = READING_SHARES.get(event.stage or "", (0.0, 1.0))
        fraction = None if event.fraction is None else begin + (end - begin) * event.fraction
        job.emit(replace(event, fraction=fraction))

    if inventory is not None:
        return read_series(inventory, series_uid, emit, job.cancel)
    return read_planning_ct(source, series_uid=series_uid, emit=emit, cancel=job.cancel)


def _hand_over(source: Path, ct: PlanningCT | None, job: Job) -> JobFolder:
    """Put the CT where the runtime finds it. Uncompressed: gzip would take longer than the network."""
    folder = job.folder("img.nii.gz" if source.name.lower().endswith(".gz") else "img.nii")
    try:
        if ct is None:
            shutil.copyfile(source, folder.image)
        else:
            import SimpleITK as sitk

            sitk.WriteImage(ct.image, str(folder.image), useCompression=False)
            if folder.image.stat().st_size < ct.image.GetNumberOfPixels() * ct.image.GetSizeOfPixelComponent():
                raise OSError  # SimpleITK says nothing of a short write
    except (OSError, RuntimeError) as error:
        raise HNSegmenterError(
            f"The CT could not be written into the job folder {folder.path.parent}: is the disk full?"
        ) from error
    return folder


def _run(runtime: Runtime, folder: JobFolder, source: Path, ct: PlanningCT | None, job: Job) -> Path:
    try:
        return runtime.run(folder, job.emit, job.cancel)
    except UnusableInput as refusal:  # the network knows no file names
        where = source if ct is None else f"CT series {ct.series_uid} in {source}"
        raise UnusableInput(f"{where}: {refusal.sentence}") from refusal


def _read_image(path: Path) -> sitk.Image:
    import SimpleITK as sitk

    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UnusableInput(
            "The NIfTI file's orientation cannot be used: save it again with a valid affine."
        ) from error


def _read_labelmaps(folder: JobFolder, result: Result, image: sitk.Image) -> Mapping[str, sitk.Image]:
    import SimpleITK as sitk

    from .grids import same_grid
    from .labelmaps import Labelmaps

    labelmaps = Labelmaps(image)
    for organ in result.organs:
        if not organ.found:
            continue
        try:
            organ.file = organ.labelmap
            labelmap = sitk.ReadImage(str(folder.results / organ.file))
        except (RuntimeError, TypeError) as error:
            raise RuntimeFault(f"The labelmap of {organ.name} cannot be read: {NOT_KEPT}") from error
        if not same_grid(labelmap, image):
            raise RuntimeFault(f"The labelmap of {organ.name} does not lie on the CT's grid: {NOT_KEPT}")
        if not is_binary(labelmap):
            raise RuntimeFault(
                f"The labelmap of {organ.name} is not one of zeros and ones with an organ in it: {NOT_KEPT}"
            )
        labelmaps.keep(organ.name, labelmap)  # on the CT's own geometry, which is exact: NIfTI keeps float32
    return labelmaps


def is_binary(labelmap: sitk.Image) -> bool:
    """uint8 of 0 and 1, with at least one 1."""
    import SimpleITK as sitk

    if labelmap.GetPixelID() != sitk.sitkUInt8:
        return False
    return int(sitk.GetArrayViewFromImage(labelmap).max()) == 1


def _check(image: sitk.Image, labelmaps: Mapping[str, sitk.Image], result: Result, ct: PlanningCT | None) -> list[str]:
    """Completes the result; returns what the checks say of the whole scan, which comes first of all warnings."""
    from .checks import run_checks

    sentences = run_checks(image, labelmaps, result.organs)
    for organ in result.organs:
        organ.checks = sentences.get(organ.name, [])
    whole = sentences.get("", [])
    result.warnings = [*whole, *result.warnings, *(ct.warnings if ct else [NO_RTSTRUCT])]
    return whole


def _write(
    staged: Path,
    folder: JobFolder,
    image: sitk.Image,
    labelmaps: Mapping[str, sitk.Image],
    result: Result,
    whole: list[str],
    ct: PlanningCT | None,
    names: NameTable | None,
    shown: Sequence[str],
    job: Job,
) -> None:
    from .overview import draw_overview, unknown

    (staged / SEGMENTATIONS).mkdir()
    for organ in result.organs:
        if organ.found:
            shutil.move(folder.results / organ.labelmap, staged / SEGMENTATIONS / organ.labelmap)
        else:
            organ.file = None
    if ct:
        from .rtstruct import write_rtstruct

        job.emit(Event("progress", "rtstruct", 0.0))
        report = write_rtstruct(ct, labelmaps, result, staged / RTSTRUCT, names=names, remarks=whole)
        result.warnings += [warning for warning in report.warnings if warning not in result.warnings]
    job.cancel.raise_if_cancelled()
    job.emit(Event("progress", "overview", 0.6))
    draw_overview(image, labelmaps, result.organs, staged / OVERVIEW, _together(result.models), whole, shown)
    if absent := unknown(result.organs, shown):
        result.warnings.append(f"The overview cannot show what was not to be drawn: {', '.join(absent)}.")


def _together(models: list[dict]) -> dict:
    """As one, for a title: names and versions, digests."""
    if len(models) == 1:
        return models[0]
    return {
        "name": ", ".join(map(model_name, models)),
        "digest": ", ".join(str(model.get("digest") or "") for model in models),
    }


def organ_rows(organs: list[Organ]) -> list[tuple]:
    """Rows for a table of organ, volume in ml, status, checks."""
    return [
        (organ.name, round(organ.volume_ml, 1) if organ.found else None, organ.status, " ".join(organ.checks))
        for organ in organs
    ]
