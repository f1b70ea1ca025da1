"""The planning CT of a folder as one regular image in HU, with the slices it came from."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from ..errors import UnusableInput
from ..events import CancelToken, Emit, Event, ignore
from ..quiet import quiet
from . import verbatim
from .accept import check_headers, check_stack, some
from .choose import choose, images
from .find import NOT_DICOM, UNREADABLE, Inventory, find_series
from .geometry import Stack, stack
from .headers import Header
from .identity import Identity, remark
from .pixels import LOSSY, is_compressed, read_hu
from .resample import resample

PROGRESS_STEP = 8  # slices between two progress events
THICK_MM = 5.0  # slices further apart than this make coarse contours
# Share of voxels (of every 4th slice, 8th row and column) that is air around the patient, and soft tissue, in any CT of
# a head; real ones have over 1 % of each, some blanked outside a region of interest 0.13 % of tissue.
AIR_BELOW_HU, TISSUE_HU, LEAST_SHARE = -500, (-200, 200), 0.001


@dataclass(frozen=True)
class CtSlice:
    """One original slice. position: first pixel's centre in mm (LPS); cosines: unit vectors (LPS), row_cosines in the
    direction of increasing column index; row_spacing: mm between rows; column_spacing: mm between columns."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    position: tuple[float, float, float]
    row_cosines: tuple[float, float, float]
    column_cosines: tuple[float, float, float]
    row_spacing: float
    column_spacing: float
    rows: int
    columns: int


@dataclass
class PlanningCT:
    """image: int16 HU on a regular, orthonormal grid (LPS). slices: the originals, ascending along their normal, which
    is ascending k of the image. resampled: the image's grid is not the stack itself. oblique: its axes are not the
    patient's. tilted: the gantry was tilted. header: the first slice's attributes, without pixels."""

    image: sitk.Image
    slices: tuple[CtSlice, ...]
    header: pydicom.Dataset
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    warnings: list[str] = field(default_factory=list)
    resampled: bool = False
    oblique: bool = False
    tilted: bool = False


def read_planning_ct(
    folder: Path, series_uid: str | None = None, emit: Emit | None = None, cancel: CancelToken | None = None
) -> PlanningCT:
    """Find and read the planning CT in a folder (or beside a named file).

    emit: progress events of the stages "find" and "read", fraction within the stage, and one warning event for each
    of the result's warnings, which name UIDs, never files or the patient.
    Raises UnusableInput where there is none, several (`candidates`; choose with series_uid) or it would give wrong
    contours; Cancelled.
    """
    return read_series(find_series(folder, emit, cancel), series_uid, emit, cancel)


def read_series(
    inventory: Inventory, series_uid: str | None = None, emit: Emit | None = None, cancel: CancelToken | None = None
) -> PlanningCT:
    """Read the planning CT of an inventory; as read_planning_ct, without the search."""
    emit, cancel = emit or ignore, cancel or CancelToken()
    with quiet():
        series = choose(inventory, series_uid)
        headers = images(series)
        check_headers(headers, series.uid)
        warnings = _series_warnings(inventory, series.uid, len(series.headers) - len(headers), headers)
        ordered = stack(headers)
        pairs = ordered.duplicates()
        kept = ordered.without({other for _, other in pairs})
        check_stack(kept, series.uid)
        volume = _read_volume(kept.headers, emit, cancel)
        if pairs:
            warnings.append(_drop_duplicates(ordered, pairs, kept, volume))
        _check_hu(volume, series.uid)
        ct = _planning_ct(kept, volume, series.uid, cancel)
    ct.warnings[:0] = warnings
    for warning in ct.warnings:
        emit(Event("warning", message=warning))
    return ct


def _planning_ct(stack: Stack, volume: np.ndarray, uid: str, cancel: CancelToken) -> PlanningCT:
    first = stack.headers[0]
    row_spacing, column_spacing = first.numbers("PixelSpacing", 2)
    resampled = not (stack.even and stack.upright)
    origin, step = stack.positions[0], stack.step
    if resampled:
        volume, origin, step = resample(stack, volume, (column_spacing, row_spacing), cancel)
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((column_spacing, row_spacing, step))
    image.SetOrigin(tuple(map(float, origin)))
    image.SetDirection(tuple(np.column_stack([stack.row, stack.column, stack.normal]).ravel()))
    tilted = stack.sheared
    return PlanningCT(
        image=image,
        slices=tuple(_slice(stack, n) for n in range(len(stack.headers))),
        header=_all_attributes(first),
        series_uid=uid,
        study_uid=first.text("StudyInstanceUID"),
        frame_of_reference_uid=first.text("FrameOfReferenceUID"),
        warnings=_geometry_warnings(stack, uid, step, tilted),
        resampled=resampled,
        oblique=stack.oblique,
        tilted=tilted,
    )


def _all_attributes(header: Header) -> pydicom.Dataset:
    """The file's attributes, without pixels; those that an RTSTRUCT takes over keep their bytes, whoever reads them."""
    try:
        return verbatim.read(header.path, stop_before_pixels=True, force=True)
    except Exception as error:  # it was read a moment ago: the folder changed or the disk failed
        raise UnusableInput(f"{header.path.name} could not be read a second time: copy the series to a local disk.") from error


def _slice(stack: Stack, n: int) -> CtSlice:
    header = stack.headers[n]
    row_spacing, column_spacing = header.numbers("PixelSpacing", 2)
    return CtSlice(
        path=header.path,
        sop_class_uid=header.text("SOPClassUID"),
        sop_instance_uid=header.text("SOPInstanceUID"),
        position=tuple(map(float, stack.positions[n])),
        row_cosines=tuple(map(float, stack.row)),
        column_cosines=tuple(map(float, stack.column)),
        row_spacing=row_spacing,
        column_spacing=column_spacing,
        rows=int(header.number("Rows")),
        columns=int(header.number("Columns")),
    )


def _read_volume(headers: tuple[Header, ...], emit: Emit, cancel: CancelToken) -> np.ndarray:
    """int16 HU [k, j, i]; compressed slices are decoded side by side (GDCM works outside Python's lock)."""
    volume = np.empty((len(headers), int(headers[0].number("Rows")), int(headers[0].number("Columns"))), np.int16)
    workers = min(4, os.cpu_count() or 1) if is_compressed(headers[0]) else 1
    with ThreadPoolExecutor(workers) as pool:
        try:
            for k, pixels in enumerate(pool.map(read_hu, headers)):
                volume[k] = pixels
                if k % PROGRESS_STEP == 0:
                    cancel.raise_if_cancelled()
                    emit(Event("progress", "read", k / len(headers)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    emit(Event("progress", "read", 1.0))
    return volume


def _drop_duplicates(ordered: Stack, pairs: list[tuple[int, int]], kept: Stack, volume: np.ndarray) -> str:
    """The warning for slices that were there twice. Raises UnusableInput where two differ at one place."""
    index = {id(header): k for k, header in enumerate(kept.headers)}
    for first, other in pairs:
        one, two = ordered.headers[first], ordered.headers[other]
        shift = np.abs(ordered.offsets[first] - ordered.offsets[other])[:2].max()
        if shift > 0.01 or not np.array_equal(volume[index[id(one)]], read_hu(two)):
            z = ordered.positions[first][2]
            raise UnusableInput(
                f"{one.path.name} and {two.path.name} are two different images at z = {z:.1f} mm{_what_differs(one, two)}: "
                "the series mixes phases, energies or reconstructions. Export each as a series of its own."
            )
    return f"{some(len(pairs), 'slice is', 'slices are')} in the series twice; the copies, with equal pixels, were left out."


def _what_differs(one: Header, two: Header) -> str:
    for keyword, name in (
        ("TemporalPositionIdentifier", "temporal position"),
        ("AcquisitionNumber", "acquisition"),
        ("KVP", "kV"),
        ("ConvolutionKernel", "kernel"),
        ("ContrastBolusAgent", "contrast agent"),
        ("SliceThickness", "thickness"),
        ("AcquisitionTime", "time"),
    ):
        if one.text(keyword) != two.text(keyword):
            return f" ({name} {one.text(keyword) or 'none'} and {two.text(keyword) or 'none'})"
    return ""


def _check_hu(volume: np.ndarray, uid: str) -> None:
    sample = volume[::4, ::8, ::8]
    air = np.mean(sample < AIR_BELOW_HU)
    tissue = np.mean((sample >= TISSUE_HU[0]) & (sample <= TISSUE_HU[1]))
    if air < LEAST_SHARE or tissue < LEAST_SHARE:
        what = "no air around the patient" if air < LEAST_SHARE else "no soft tissue"
        raise UnusableInput(
            f"The values of series {uid} are not those of a CT in Hounsfield units: from {volume.min()} to {volume.max()} "
            f"with {what}. Export the original CT images."
        )


def _series_warnings(inventory: Inventory, uid: str, localizers: int, headers: tuple[Header, ...]) -> list[str]:
    found = []
    if localizers:
        found.append(f"Left out of series {uid}: {some(localizers, 'localizer image', 'localizer images')}.")
    if unreadable := inventory.ignored_counts()[UNREADABLE]:
        found.append(f"{some(unreadable, 'file or folder', 'files or folders')} beside series {uid} could not be read: check that no slice is missing at its ends.")
    if damaged := _look_alikes(inventory, headers):
        found.append(f"{some(damaged, 'file', 'files')} beside series {uid} named like its slices, but not DICOM: check that no slice is missing at its ends.")
    if any(header.transfer_syntax in LOSSY or header.text("LossyImageCompression") == "01" for header in headers):
        found.append(f"Series {uid} was compressed with loss: its values are not exactly the scanner's.")
    if said := remark((Identity.of(header.dataset) for header in headers), f"The slices of series {uid}"):
        found.append(said)
    return found


def _look_alikes(inventory: Inventory, headers: tuple[Header, ...]) -> int:
    """Files that are not DICOM (empty or cut ones, say) in the folders of the slices and with their extension."""
    homes = {(header.path.parent, header.path.suffix) for header in headers if header.path.suffix}
    return sum(item.reason == NOT_DICOM and (item.path.parent, item.path.suffix) in homes for item in inventory.ignored)


def _geometry_warnings(stack: Stack, uid: str, step: float, tilted: bool) -> list[str]:
    found = []
    if tilted:
        found.append(
            f"Series {uid} was scanned with a tilted gantry ({stack.tilt_degrees:.1f} degrees): most planning systems refuse "
            "tilted series and their contours."
        )
    elif not stack.upright:
        found.append(f"The slices of series {uid} are shifted sideways against each other; each is used where it says it lies.")
    if stack.oblique and not tilted:
        found.append(f"The slices of series {uid} are oblique: most planning systems refuse oblique series and their contours.")
    if not stack.even:
        low, high = stack.steps.min(), stack.steps.max()
        found.append(f"The slices of series {uid} are unevenly spaced ({low:.2f} to {high:.2f} mm): the network sees an interpolated image, contours are drawn on the real slices.")
    if stack.steps.max() > THICK_MM:
        found.append(f"The slices of series {uid} are up to {stack.steps.max():.1f} mm apart: contours will be coarse.")
    if stack.upright and abs(stack.headers[0].number("GantryDetectorTilt") or 0) > 0.5 and not stack.oblique:
        found.append(f"Series {uid} says that the gantry was tilted but its slices stand straight; they are used as they lie.")
    thickness = stack.headers[0].number("SliceThickness")
    if stack.even and thickness and stack.step > 1.9 * thickness:
        found.append(
            f"The slices of series {uid} are {step:.2f} mm apart but {thickness:.2f} mm thick: check that not every second one is missing."
        )
    return found
