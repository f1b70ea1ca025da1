"""Refuses what would give a wrong contour, before any pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.uid import CTImageStorage

from ..errors import UnusableInput
from .contents import some
from .geometry import COSINE_TOLERANCE, SAME_POSITION_MM, Gap, Stack, most_shared, orthonormal, position_of, stack
from .headers import Header
from .hounsfield import MOST_INTERCEPT, MOST_SLOPE, unit_problem
from .identity import compare
from .interleaved import alternating
from .pixels import BITS_ALLOCATED, can_decode, syntax_name
from .rounding import UNIT_NAMES, Rounded, numbers_missing, rounding_unit, unrounded

SPACING_TOLERANCE_MM = 1e-4
PIXEL_MM = (0.1, 10.0)  # between pixels: finer is no CT of a head, coarser shows no parotid
STEP_MM = (0.1, 10.0)  # between slices
MATRIX = (32, 2048)  # columns and rows of an image
FIELD_MM = (50.0, 1500.0)  # width and height of an image
AGAIN = "Export the series again from the scanner."
APART = "Export each as a series of its own, and choose one."


@dataclass(frozen=True)
class Arranged:
    """The slices of a scan in order. ordered: all of them; copies: pairs (kept, copy) of these at one place; kept:
    without the copies, where the files say; rounded: how they lay before their positions were rounded,
    None where they were not."""

    ordered: Stack
    copies: list[tuple[int, int]]
    kept: Stack
    rounded: Rounded | None

    @property
    def even(self) -> Stack:
        """The slices where the image has them."""
        return self.rounded.stack if self.rounded else self.kept


def check_headers(headers: tuple[Header, ...], uid: str) -> None:
    """Raise UnusableInput for the first slice that cannot be used, or differs from the others where it must not."""
    for header in headers:
        for check in (_check_identity, _check_pixels, _check_rescale, _check_geometry):
            if reason := check(header):
                raise UnusableInput(f"{header.path.name} of series {uid} {reason}")
    _check_orientations(headers, uid)
    first = headers[0]
    for other in headers[1:]:
        if reason := _difference(first, other):
            raise UnusableInput(f"{first.path.name} and {other.path.name} of series {uid} {reason}")


def arrange(headers: tuple[Header, ...], uid: str) -> Arranged:
    """Put slices of one orientation in order. Raises UnusableInput for two images of one SOP Instance UID."""
    ordered = stack(headers)
    copies = ordered.duplicates()
    kept = ordered.without({copy for _, copy in copies})
    _check_unique(kept, uid)
    return Arranged(ordered, copies, kept, unrounded(kept))


def check_stack(arranged: Arranged, uid: str, left_out: str = "") -> None:
    """Raise UnusableInput for scans that lie between one another, missing slices or absurd distances.

    left_out: what was not taken for a slice, for the sentence.
    """
    even, rounded = arranged.even, arranged.rounded
    if signs := alternating(even):
        raise UnusableInput(
            f"Series {uid} mixes several acquisitions whose slices lie between one another: {_listed(signs)} "
            f"{'alternates' if len(signs) == 1 else 'alternate'} from slice to slice. {APART}"
        )
    if gaps := rounded.gaps if rounded else () if even.even else even.gaps(rounding_unit(even) or 0.0):
        usual = rounded.step if rounded else float(np.median(even.steps))
        raise UnusableInput(_missing(even, gaps, usual, uid) + (f" Left out were: {left_out}." if left_out else ""))
    if even.even and not STEP_MM[0] <= even.step <= STEP_MM[1]:
        raise UnusableInput(
            f"The slices of series {uid} are {even.step:.3g} mm apart, which no planning CT has "
            f"({STEP_MM[0]:g} to {STEP_MM[1]:g} mm). {AGAIN}"
        )
    if even.steps.max() > STEP_MM[1]:
        n = int(even.steps.argmax())
        raise UnusableInput(
            f"Slices of series {uid} are up to {even.steps.max():.1f} mm apart (between {_place(even, n, n + 1)}): "
            f"more than {STEP_MM[1]:g} mm cannot be contoured. {AGAIN}"
        )


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _missing(even: Stack, gaps: Sequence[Gap], usual: float, uid: str) -> str:
    count = some(sum(gap.missing for gap in gaps), "slice is", "slices are")
    unit, low, high = rounding_unit(even), even.steps.min(), even.steps.max()
    if unit and high - low <= unit + SAME_POSITION_MM and not numbers_missing(even, gaps):
        return (
            f"The slices of series {uid} lie at {UNIT_NAMES[unit]}, {low:g} or {high:g} mm apart: either their "
            f"positions were rounded or {count} missing, and neither Slice Thickness, Spacing Between Slices nor Slice "
            "Location says which. Export the series again with exact positions."
        )
    places = "; ".join(_place(even, gap.lower, gap.upper) for gap in gaps[:5])
    return f"{count} missing in series {uid}: nothing lies between {places} (usual distance {usual:.2f} mm). {AGAIN}"


def _check_identity(header: Header) -> str | None:
    for keyword, name in (
        ("SOPClassUID", "SOP Class UID"),
        ("SOPInstanceUID", "SOP Instance UID"),
        ("StudyInstanceUID", "Study Instance UID"),
        ("FrameOfReferenceUID", "Frame of Reference UID"),
    ):
        uid = header.text(keyword)
        if not uid or "\\" in uid:
            return f"has {'several values of' if uid else 'no'} {name}, so that no contour can refer to it. {AGAIN}"
    return (
        None
        if header.text("SOPClassUID") == CTImageStorage
        else f"is of another SOP Class than CT Image Storage. {AGAIN}"
    )


def _check_pixels(header: Header) -> str | None:
    if header.transfer_syntax is not None and not can_decode(header.transfer_syntax):
        return f"{syntax_name(header.transfer_syntax)}, which cannot be read. Export it uncompressed."
    if (frames := header.number("NumberOfFrames") or 1) > 1:
        return f"holds {frames:g} frames, where the others are single slices. {AGAIN}"
    samples, colours = header.number("SamplesPerPixel"), header.text("PhotometricInterpretation")
    if samples != 1 or colours != "MONOCHROME2":
        return (
            f"is not a greyscale CT image ({samples or 0:g} samples per pixel, "
            f"{colours or 'no photometric interpretation'}). {AGAIN}"
        )
    allocated, stored, high = (header.number(word) for word in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated != BITS_ALLOCATED:
        return (
            f"has {allocated or 0:g} bits a pixel, where a CT in Hounsfield units has 16. Export the original images."
        )
    if (
        stored is None
        or high is None
        or not 8 < stored <= high + 1 <= 16
        or header.number("PixelRepresentation") not in (0, 1)
    ):
        return f"does not say how its pixels are stored (Bits Stored, High Bit, Pixel Representation). {AGAIN}"
    size = [header.number("Columns") or 0, header.number("Rows") or 0]
    if not all(MATRIX[0] <= pixels <= MATRIX[1] for pixels in size):
        return f"is {size[0]:g} x {size[1]:g} pixels, which no planning CT is ({MATRIX[0]} to {MATRIX[1]}). {AGAIN}"
    return None


def _check_rescale(header: Header) -> str | None:
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    if slope is None or intercept is None or not 0 < slope <= MOST_SLOPE or abs(intercept) > MOST_INTERCEPT:
        return f"has no usable Rescale Slope and Intercept, so its Hounsfield units are unknown. {AGAIN}"
    return unit_problem(header.text("RescaleType"))


def _check_geometry(header: Header) -> str | None:
    spacing = header.numbers("PixelSpacing", 2)
    if spacing is None:
        return f"has no usable Pixel Spacing. {AGAIN}"
    field = (spacing[0] * header.needed("Rows"), spacing[1] * header.needed("Columns"))
    if not all(PIXEL_MM[0] <= mm <= PIXEL_MM[1] for mm in spacing) or not all(
        FIELD_MM[0] <= mm <= FIELD_MM[1] for mm in field
    ):
        return (
            f"has an absurd Pixel Spacing ({spacing[0]:g} x {spacing[1]:g} mm, image "
            f"{field[0]:.0f} x {field[1]:.0f} mm). {AGAIN}"
        )
    if position_of(header) is None:
        return f"has no usable Image Position (Patient): where it lies is unknown. {AGAIN}"
    cosines = header.numbers("ImageOrientationPatient", 6)
    if cosines is None:
        return f"has no usable Image Orientation (Patient): how it lies is unknown. {AGAIN}"
    if not orthonormal(cosines):
        return f"has an Image Orientation (Patient) whose axes are not perpendicular unit vectors. {AGAIN}"
    return None


def _difference(first: Header, other: Header) -> str | None:
    if decisive := compare(first.identity, other.identity).decisive:
        return f"belong to different patients: their {decisive} differs. {AGAIN}"
    if first.text("StudyInstanceUID") != other.text("StudyInstanceUID"):
        return f"belong to different studies. {AGAIN}"
    if first.text("Modality") != other.text("Modality"):
        return (
            f"are of different modalities ({first.text('Modality') or 'none'} and "
            f"{other.text('Modality') or 'none'}). {AGAIN}"
        )
    if first.text("FrameOfReferenceUID") != other.text("FrameOfReferenceUID"):
        return f"have different Frames of Reference: how they lie to each other is unknown. {AGAIN}"
    size = [f"{h.needed('Columns'):g} x {h.needed('Rows'):g}" for h in (first, other)]
    if size[0] != size[1]:
        return f"have different sizes ({size[0]} and {size[1]} pixels). {AGAIN}"
    if _far(first, other, "PixelSpacing", 2, SPACING_TOLERANCE_MM):
        return (
            f"have different pixel spacings ({first.text('PixelSpacing')} and {other.text('PixelSpacing')} mm). {AGAIN}"
        )
    return None


def _check_orientations(headers: tuple[Header, ...], uid: str) -> None:
    cosines = np.array([header.all_needed("ImageOrientationPatient", 6) for header in headers])
    usual = most_shared(cosines, COSINE_TOLERANCE)
    off = np.flatnonzero(np.abs(cosines - cosines[usual]).max(axis=1) > COSINE_TOLERANCE)
    if len(off):
        names = " and ".join(headers[n].path.name for n in sorted((usual, off[0])))
        raise UnusableInput(
            f"{names} of series {uid} have different orientations, as have {len(off)} of its {len(headers)} images "
            "from the others. Export each orientation as a series of its own."
        )


def _far(first: Header, other: Header, keyword: str, count: int, tolerance: float) -> bool:
    one, two = (header.all_needed(keyword, count) for header in (first, other))
    return bool(np.abs(np.subtract(one, two)).max() > tolerance)


def _check_unique(stack: Stack, uid: str) -> None:
    seen: dict[str, Header] = {}
    for header in stack.headers:
        other = seen.setdefault(header.text("SOPInstanceUID"), header)
        if other is not header:
            raise UnusableInput(
                f"{other.path.name} and {header.path.name} of series {uid} have the same SOP Instance UID but are "
                f"different images. {AGAIN}"
            )


def _place(stack: Stack, lower: int, upper: int) -> str:
    below, above = sorted((stack.positions[lower][2], stack.positions[upper][2]))
    return f"z = {below:.1f} and {above:.1f} mm"
