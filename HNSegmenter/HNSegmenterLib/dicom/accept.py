"""Refuses what would give a wrong contour, before any pixel is read."""

from __future__ import annotations

import numpy as np

from ..errors import UnusableInput
from .geometry import COSINE_TOLERANCE, Stack, orthonormal
from .headers import Header
from .identity import Identity, compare
from .pixels import BITS_ALLOCATED, can_decode, syntax_name

SPACING_TOLERANCE_MM = 1e-4
PIXEL_MM = (0.1, 10.0)  # between pixels: finer is no CT of a head, coarser shows no parotid
STEP_MM = (0.1, 10.0)  # between slices
MATRIX = (32, 2048)  # columns and rows of an image
FIELD_MM = (50.0, 1500.0)  # width and height of an image
AGAIN = "Export the series again from the scanner."


def check_headers(headers: tuple[Header, ...], uid: str) -> None:
    """Raise UnusableInput for the first slice that cannot be used, or differs from the others where it must not."""
    for header in headers:
        for check in (_check_identity, _check_pixels, _check_rescale, _check_geometry):
            if reason := check(header):
                raise UnusableInput(f"{header.path.name} of series {uid} {reason}")
    first = headers[0]
    for other in headers[1:]:
        if reason := _difference(first, other):
            raise UnusableInput(f"{first.path.name} and {other.path.name} of series {uid} {reason}")


def check_stack(stack: Stack, uid: str) -> None:
    """Raise UnusableInput for a stack (no duplicates) with missing slices, interleaved scans or absurd distances."""
    _check_unique(stack, uid)
    low, high = stack.steps.min(), stack.steps.max()
    if stack.even and not STEP_MM[0] <= stack.step <= STEP_MM[1]:
        raise UnusableInput(
            f"The slices of series {uid} are {stack.step:.3g} mm apart, which no planning CT has "
            f"({STEP_MM[0]:g} to {STEP_MM[1]:g} mm). {AGAIN}"
        )
    if stack.even:
        return
    if _interleaved(stack):
        raise UnusableInput(
            f"Series {uid} mixes several acquisitions whose slices lie between one another (distances from "
            f"{low:.2f} to {high:.2f} mm). Export each acquisition as a series of its own."
        )
    if gaps := stack.gaps():
        places = "; ".join(_place(stack, gap.lower, gap.upper) for gap in gaps[:5])
        count = sum(gap.missing for gap in gaps)
        raise UnusableInput(
            f"{some(count, 'slice is', 'slices are')} missing in series {uid}: nothing lies between {places} "
            f"(usual distance {np.median(stack.steps):.2f} mm). {AGAIN}"
        )
    if high > STEP_MM[1]:
        n = int(stack.steps.argmax())
        raise UnusableInput(
            f"Slices of series {uid} are up to {high:.1f} mm apart (between {_place(stack, n, n + 1)}): "
            f"more than {STEP_MM[1]:g} mm cannot be contoured. {AGAIN}"
        )


def _check_identity(header: Header) -> str | None:
    for keyword, name in (
        ("SOPInstanceUID", "SOP Instance UID"),
        ("StudyInstanceUID", "Study Instance UID"),
        ("FrameOfReferenceUID", "Frame of Reference UID"),
    ):
        if not header.has(keyword):
            return f"has no {name}, so that no contour can refer to it. {AGAIN}"
    return None


def _check_pixels(header: Header) -> str | None:
    if not can_decode(header.transfer_syntax):
        return f"is compressed as {syntax_name(header.transfer_syntax)}, which cannot be read. Export it uncompressed."
    samples, colours = header.number("SamplesPerPixel"), header.text("PhotometricInterpretation")
    if samples != 1 or colours != "MONOCHROME2":
        return f"is not a greyscale CT image ({samples or 0:g} samples per pixel, {colours or 'no photometric interpretation'}). {AGAIN}"
    allocated, stored, high = (header.number(word) for word in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated != BITS_ALLOCATED:
        return f"has {allocated or 0:g} bits a pixel, where a CT in Hounsfield units has 16. Export the original images."
    if stored is None or high is None or not 8 < stored <= high + 1 <= 16 or header.number("PixelRepresentation") not in (0, 1):
        return f"does not say how its pixels are stored (Bits Stored, High Bit, Pixel Representation). {AGAIN}"
    size = [header.number("Columns") or 0, header.number("Rows") or 0]
    if not all(MATRIX[0] <= pixels <= MATRIX[1] for pixels in size):
        return f"is {size[0]:g} x {size[1]:g} pixels, which no planning CT is ({MATRIX[0]} to {MATRIX[1]}). {AGAIN}"
    return None


def _check_rescale(header: Header) -> str | None:
    slope, intercept, unit = header.number("RescaleSlope"), header.number("RescaleIntercept"), header.text("RescaleType")
    if slope is None or intercept is None or slope == 0:
        return f"has no usable Rescale Slope and Intercept, so its Hounsfield units are unknown. {AGAIN}"
    if unit.upper() not in ("", "HU", "HU_MOD", "US"):
        return f"is not in Hounsfield units but in {unit}. Choose the CT series in HU."
    return None


def _check_geometry(header: Header) -> str | None:
    spacing = header.numbers("PixelSpacing", 2)
    if spacing is None:
        return f"has no usable Pixel Spacing. {AGAIN}"
    field = (spacing[0] * header.number("Rows"), spacing[1] * header.number("Columns"))
    if not all(PIXEL_MM[0] <= mm <= PIXEL_MM[1] for mm in spacing) or not all(FIELD_MM[0] <= mm <= FIELD_MM[1] for mm in field):
        return f"has an absurd Pixel Spacing ({spacing[0]:g} x {spacing[1]:g} mm, image {field[0]:.0f} x {field[1]:.0f} mm). {AGAIN}"
    if header.numbers("ImagePositionPatient", 3) is None:
        return f"has no usable Image Position (Patient): where it lies is unknown. {AGAIN}"
    cosines = header.numbers("ImageOrientationPatient", 6)
    if cosines is None:
        return f"has no usable Image Orientation (Patient): how it lies is unknown. {AGAIN}"
    if not orthonormal(cosines):
        return f"has an Image Orientation (Patient) whose axes are not perpendicular unit vectors. {AGAIN}"
    return None


def _difference(first: Header, other: Header) -> str | None:
    if decisive := compare(Identity.of(first.dataset), Identity.of(other.dataset)).decisive:
        return f"belong to different patients: their {decisive} differs. {AGAIN}"
    if first.text("StudyInstanceUID") != other.text("StudyInstanceUID"):
        return f"belong to different studies. {AGAIN}"
    if first.text("Modality") != other.text("Modality"):
        return f"are of different modalities ({first.text('Modality')} and {other.text('Modality')}). {AGAIN}"
    if first.text("FrameOfReferenceUID") != other.text("FrameOfReferenceUID"):
        return f"have different Frames of Reference: how they lie to each other is unknown. {AGAIN}"
    if _far(first, other, "ImageOrientationPatient", 6, COSINE_TOLERANCE):
        return "have different orientations. Export each orientation as a series of its own."
    size = [f"{h.number('Columns'):g} x {h.number('Rows'):g}" for h in (first, other)]
    if size[0] != size[1]:
        return f"have different sizes ({size[0]} and {size[1]} pixels). {AGAIN}"
    if _far(first, other, "PixelSpacing", 2, SPACING_TOLERANCE_MM):
        return f"have different pixel spacings ({first.text('PixelSpacing')} and {other.text('PixelSpacing')} mm). {AGAIN}"
    return None


def _far(first: Header, other: Header, keyword: str, count: int, tolerance: float) -> bool:
    return bool(np.abs(np.subtract(first.numbers(keyword, count), other.numbers(keyword, count))).max() > tolerance)


def _check_unique(stack: Stack, uid: str) -> None:
    seen: dict[str, Header] = {}
    for header in stack.headers:
        other = seen.setdefault(header.text("SOPInstanceUID"), header)
        if other is not header:
            raise UnusableInput(
                f"{other.path.name} and {header.path.name} of series {uid} have the same SOP Instance UID but are "
                f"different images. {AGAIN}"
            )


def _interleaved(stack: Stack) -> bool:
    """Whether slices of one acquisition lie between those of another."""
    numbers = [header.text("AcquisitionNumber") for header in stack.headers]
    runs = 1 + sum(a != b for a, b in zip(numbers, numbers[1:]))
    return runs > len(set(numbers))


def _place(stack: Stack, lower: int, upper: int) -> str:
    below, above = sorted((stack.positions[lower][2], stack.positions[upper][2]))
    return f"z = {below:.1f} and {above:.1f} mm"


def some(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
