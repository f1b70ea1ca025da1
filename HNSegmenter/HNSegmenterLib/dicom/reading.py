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
from ..silent_libraries import quiet
from . import verbatim
from .accept import APART, Arranged, arrange, check_headers, check_stack
from .choose import choose
from .contents import UNPLACED, some
from .find import NOT_DICOM, UNREADABLE, Inventory, Series, find_series
from .geometry import Stack
from .headers import Header
from .hounsfield import check_hu, unit_warning
from .identity import remark
from .interleaved import pixels_alternate, what_differs
from .pixels import AIR_HU, LOSSY, is_compressed, read_hu
from .resample import resample
from .rounding import UNIT_NAMES, shared_by_rounding

PROGRESS_STEP = 8  # slices between two progress events
THICK_MM = 5.0  # slices further apart than this make coarse contours


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
        slices, left_out = series.contents.slices, series.contents.left_out
        check_headers(slices, series.uid)
        arranged = arrange(slices, series.uid)
        warnings = _series_warnings(inventory, series) + _copies(arranged, cancel)
        check_stack(arranged, series.uid, left_out)
        volume = _read_volume(arranged.kept.headers, emit, cancel)
        check_hu(volume, slices, series.uid)
        np.maximum(volume, AIR_HU, out=volume)
        if pixels_alternate(arranged.kept, volume):
            raise UnusableInput(
                f"Series {series.uid} mixes several acquisitions whose slices lie between one another: every slice is "
                f"less like its neighbours than these are like each other. {APART}"
            )
        ct = _planning_ct(arranged, volume, series.uid, cancel)
    ct.warnings[:0] = warnings
    for warning in ct.warnings:
        emit(Event("warning", message=warning))
    return ct


def _planning_ct(arranged: Arranged, volume: np.ndarray, uid: str, cancel: CancelToken) -> PlanningCT:
    stack, first = arranged.even, arranged.kept.headers[0]
    row_spacing, column_spacing = first.all_needed("PixelSpacing", 2)
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
        slices=tuple(_slice(arranged.kept, n) for n in range(len(stack.headers))),
        header=_all_attributes(first),
        series_uid=uid,
        study_uid=first.text("StudyInstanceUID"),
        frame_of_reference_uid=first.text("FrameOfReferenceUID"),
        warnings=_geometry_warnings(arranged, uid, step, tilted),
        resampled=resampled,
        oblique=stack.oblique,
        tilted=tilted,
    )


def _all_attributes(header: Header) -> pydicom.Dataset:
    """The file's attributes, without pixels; those that an RTSTRUCT takes over keep their bytes, whoever reads them."""
    try:
        return verbatim.read(header.path, stop_before_pixels=True, force=True)
    except Exception as error:  # it was read a moment ago: the folder changed or the disk failed
        raise UnusableInput(
            f"{header.path.name} could not be read a second time: copy the series to a local disk."
        ) from error


def _slice(stack: Stack, n: int) -> CtSlice:
    header = stack.headers[n]
    row_spacing, column_spacing = header.all_needed("PixelSpacing", 2)
    return CtSlice(
        path=header.path,
        sop_class_uid=header.text("SOPClassUID"),
        sop_instance_uid=header.text("SOPInstanceUID"),
        position=_vector(stack.positions[n]),
        row_cosines=_vector(stack.row),
        column_cosines=_vector(stack.column),
        row_spacing=row_spacing,
        column_spacing=column_spacing,
        rows=int(header.needed("Rows")),
        columns=int(header.needed("Columns")),
    )


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def _read_volume(headers: tuple[Header, ...], emit: Emit, cancel: CancelToken) -> np.ndarray:
    """int16 HU [k, j, i]; compressed slices are decoded side by side (GDCM works outside Python's lock)."""
    volume = np.empty((len(headers), int(headers[0].needed("Rows")), int(headers[0].needed("Columns"))), np.int16)
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


def _copies(arranged: Arranged, cancel: CancelToken) -> list[str]:
    """The warning for slices that are there twice, if any are. Raises UnusableInput where two differ at one place."""
    ordered = arranged.ordered
    for first, other in arranged.copies:
        cancel.raise_if_cancelled()
        one, two = sorted((ordered.headers[first], ordered.headers[other]), key=lambda header: header.path)
        shift = np.abs(ordered.offsets[first] - ordered.offsets[other])[:2].max()
        if shift > 0.01 or not np.array_equal(*(np.maximum(read_hu(header), AIR_HU) for header in (one, two))):
            place = (
                f"{one.path.name} and {two.path.name} are two different images at "
                f"z = {ordered.positions[first][2]:.1f} mm"
            )
            if unit := shared_by_rounding(ordered):
                raise UnusableInput(
                    f"{place}: the slices lie nearer to each other than {unit:g} mm, and their positions are rounded "
                    f"to {UNIT_NAMES[unit]}. Export the series again with exact positions."
                )
            raise UnusableInput(
                f"{place}{what_differs(one, two)}: the series mixes phases, energies or reconstructions. {APART}"
            )
    count = len(arranged.copies)
    return (
        [f"{some(count, 'slice is', 'slices are')} in the series twice; the copies, with equal pixels, were left out."]
        if count
        else []
    )


def _series_warnings(inventory: Inventory, series: Series) -> list[str]:
    found, uid, headers = [], series.uid, series.contents.slices
    if left_out := left_out_warning(series):
        found.append(left_out)
    if unreadable := inventory.ignored_counts()[UNREADABLE]:
        found.append(
            f"{some(unreadable, 'file or folder', 'files or folders')} beside series {uid} could not be read: check "
            "that no slice is missing at its ends."
        )
    if damaged := _look_alikes(inventory, headers):
        found.append(
            f"{some(damaged, 'file', 'files')} beside series {uid} named like its slices, but not DICOM: check that no "
            "slice is missing at its ends."
        )
    if nameless := inventory.find(""):
        found.append(
            f"{some(len(nameless.headers), 'file', 'files')} beside series {uid} without Series Instance UID: check "
            "that no slice is missing at its ends."
        )
    if any(header.transfer_syntax in LOSSY or header.text("LossyImageCompression") == "01" for header in headers):
        found.append(f"Series {uid} was compressed with loss: its values are not exactly the scanner's.")
    if said := remark((header.identity for header in headers), f"The slices of series {uid}"):
        found.append(said)
    if unit := unit_warning(headers, uid):
        found.append(unit)
    return found


def left_out_warning(series: Series) -> str:
    """What was filed under the series' UID and is no slice of its scan; "" for nothing."""
    if not (left_out := series.contents.left_out):
        return ""
    check = " Check that no slice of the scan is among them." if UNPLACED in series.contents.aside else ""
    return f"Left out of series {series.uid}: {left_out}.{check}"


def _look_alikes(inventory: Inventory, headers: tuple[Header, ...]) -> int:
    """Files that are not DICOM (empty or cut ones, say) in the folders of the slices and with their extension."""
    homes = {(header.path.parent, header.path.suffix) for header in headers if header.path.suffix}
    return sum(item.reason == NOT_DICOM and (item.path.parent, item.path.suffix) in homes for item in inventory.ignored)


def _geometry_warnings(arranged: Arranged, uid: str, step: float, tilted: bool) -> list[str]:
    found, stack = [], arranged.even
    if rounded := arranged.rounded:
        found.append(
            f"The positions of series {uid} are rounded to {UNIT_NAMES[rounded.unit]}: the network sees its slices "
            f"{step:.2f} mm apart, as they were scanned; contours are drawn where the files say."
        )
    if tilted:
        found.append(
            f"Series {uid} was scanned with a tilted gantry ({stack.tilt_degrees:.1f} degrees): most planning systems "
            "refuse tilted series and their contours."
        )
    elif not stack.upright:
        found.append(
            f"The slices of series {uid} are shifted sideways against each other; each is used where it says it lies."
        )
    if stack.oblique and not tilted:
        found.append(
            f"The slices of series {uid} are oblique: most planning systems refuse oblique series and their contours."
        )
    if not stack.even:
        low, high = stack.steps.min(), stack.steps.max()
        found.append(
            f"The slices of series {uid} are unevenly spaced ({low:.2f} to {high:.2f} mm): the network sees an "
            "interpolated image, contours are drawn on the real slices."
        )
    if stack.steps.max() > THICK_MM:
        found.append(f"The slices of series {uid} are up to {stack.steps.max():.1f} mm apart: contours will be coarse.")
    if stack.upright and abs(stack.headers[0].number("GantryDetectorTilt") or 0) > 0.5 and not stack.oblique:
        found.append(
            f"Series {uid} says that the gantry was tilted but its slices stand straight; they are used as they lie."
        )
    thickness = stack.headers[0].number("SliceThickness")
    if stack.even and thickness and stack.step > 1.9 * thickness:
        found.append(
            f"The slices of series {uid} are {step:.2f} mm apart but {thickness:.2f} mm thick: "
            "check that not every second one is missing."
        )
    return found
