"""What was filed under one Series Instance UID:
the slices of its scan, and everything else, told by what most of it is.

File names count for nothing here.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from pydicom.uid import UID, CTImageStorage

from .geometry import COSINE_TOLERANCE, Stack, cosines_of, most_shared, position_of, stack
from .headers import Header
from .rounding import unrounded

# Values of Image Type of images computed from a scan, whose voxels are no longer the scan's own.
REFORMATS = {
    "MPR",
    "MPR THICK",
    "CSA MPR",
    "REFORMATTED",
    "CURVED",
    "MIP",
    "CSA MIP",
    "MINIP",
    "MAX_IP",
    "MIN_IP",
    "VRT",
    "SSD",
    "PROJECTION IMAGE",
}
DICOM_ROOT = "1.2.840.10008."  # of the UIDs that the standard defines; others are vendors' own
ANOTHER_VIEW = np.cos(np.radians(45))  # of the angle between two normals: no gantry tilts so far, no scout so little

Kind = tuple[str, str]  # one of them, more of them
LOCALIZER: Kind = ("localizer image", "localizer images")
COMPUTED: Kind = ("image computed from the scan", "images computed from the scan")
UNPLACED: Kind = ("image without position", "images without position")
TURNED: Kind = ("image of another orientation", "images of another orientation")
UNKNOWN: Kind = ("object of an unknown kind", "objects of an unknown kind")


@dataclass(frozen=True)
class Contents:
    """slices: the images of the scan, damaged ones among them. aside: how many of each kind are no slices.
    images: how many are CT images (CT Image Storage) at all, others: how many are not."""

    slices: tuple[Header, ...]
    aside: Counter[Kind]
    images: int
    others: int

    @property
    def left_out(self) -> str:
        """What was set aside, for a sentence; "" for nothing."""
        return ", ".join(some(count, *kind) for kind, count in sorted(self.aside.items()))


def sort(headers: tuple[Header, ...]) -> Contents:
    """Tell the slices from the rest. Where no majority decides between images, all of them stay,
    for the checks to refuse."""
    images = tuple(header for header in headers if _is_image(header))
    aside = Counter(_kind(header) for header in headers if not _is_image(header))
    others = sum(aside.values())
    slices = images
    for kind, belongs in ((LOCALIZER, _scanned), (COMPUTED, _measured), (TURNED, _alike), (UNPLACED, _placed)):
        kept = belongs(slices)
        if lost := len(slices) - len(kept):
            aside[kind] += lost
        slices = kept
    return Contents(slices, aside, len(images), others)


def common(headers: tuple[Header, ...], keyword: str) -> str:
    """The text that most of them have, "" only where none has one;
    of two equally frequent the first in the alphabet."""
    counts = Counter(text for header in headers if (text := header.text(keyword)))
    return min(counts, key=lambda text: (-counts[text], text), default="")


def some(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _is_image(header: Header) -> bool:
    """A slice whose SOP Class UID is lost or damaged is one of the scan all the same, and refused for that."""
    uid = header.text("SOPClassUID")
    damaged = not re.fullmatch(r"[0-9]+(\.[0-9]+)+", uid) or (uid.startswith(DICOM_ROOT) and _kind(header) == UNKNOWN)
    return uid == CTImageStorage or (damaged and header.text("Modality") == "CT" and _has_place(header))


def _has_place(header: Header) -> bool:
    return header.has("ImagePositionPatient") or header.has("ImageOrientationPatient")


def _kind(header: Header) -> Kind:
    uid = UID(header.text("SOPClassUID"))
    if uid.name == uid:
        return UNKNOWN
    name = uid.name.replace(" Storage", "").replace(" (Retired)", "")
    return (f"{name} object", f"{name} objects")


def _scanned(images: tuple[Header, ...]) -> tuple[Header, ...]:
    return tuple(header for header in images if "LOCALIZER" not in header.words("ImageType"))


def _measured(images: tuple[Header, ...]) -> tuple[Header, ...]:
    return _majority(images, tuple(header for header in images if not REFORMATS & set(header.words("ImageType"))))


def _placed(images: tuple[Header, ...]) -> tuple[Header, ...]:
    """Without screen saves and the like.

    One that has no position but an orientation may be a damaged slice:
    it stays where one is missing, or it may be one at an end.
    """
    found = _majority(images, tuple(filter(_has_place, images)))
    rest = tuple(header for header in found if header.has("ImagePositionPatient"))
    if len(rest) == len(found) or 2 * len(rest) <= len(found) or _whole(rest) is None:
        return found
    return tuple(header for header in found if header.has("ImagePositionPatient") or _may_be_at_an_end(header, rest))


def _may_be_at_an_end(header: Header, rest: tuple[Header, ...]) -> bool:
    """Whether an image is of the slices' kind, and numbered as the next one of them."""
    if any(header.text(word) != common(rest, word) for word in ("Rows", "Columns", "ImageType")):
        return False
    number, numbers = header.number("InstanceNumber"), {other.number("InstanceNumber") for other in rest}
    return number is None or (number not in numbers and bool({number - 1, number + 1} & numbers))


def _majority(images: tuple[Header, ...], part: tuple[Header, ...]) -> tuple[Header, ...]:
    return part if 2 * len(part) > len(images) else images


def _alike(images: tuple[Header, ...]) -> tuple[Header, ...]:
    """Without images that lie across the others, and without slanted ones that are no slice of theirs.

    Those whose orientation cannot be read stay.
    """
    cosines = {n: value for n, header in enumerate(images) if (value := cosines_of(header))}
    if not cosines:
        return images
    values = np.array(list(cosines.values()))
    usual = values[most_shared(values, COSINE_TOLERANCE)]
    off = {n for n, value in cosines.items() if np.abs(value - usual).max() > COSINE_TOLERANCE}
    if not off or 2 * len(off) >= len(cosines):
        return images
    rest = tuple(images[n] for n in range(len(images)) if n not in off)
    normal = _normal(usual)
    slanted = [n for n in off if abs(_normal(cosines[n]) @ normal) > ANOTHER_VIEW]
    if slanted and not _within([images[n] for n in slanted], rest):
        return tuple(images[n] for n in range(len(images)) if n not in off or n in slanted)
    return rest


def _normal(cosines) -> np.ndarray:
    return np.cross(cosines[:3], cosines[3:])


def _within(slanted: list[Header], rest: tuple[Header, ...]) -> bool:
    """Whether a stack has all of its slices without these, and reaches over all of each on both sides."""
    whole = _whole(rest)
    if whole is None:
        return False
    depths = [_depths(header, whole) for header in slanted]
    return all(depth is not None and depth.min() > 0 and depth.max() < whole.offsets[-1, 2] for depth in depths)


def _whole(slices: tuple[Header, ...]) -> Stack | None:
    """The stack that these slices make; None where it is uneven,
    or where one of them does not say where and how it lies."""
    if not all(position_of(header) and cosines_of(header) for header in slices):
        return None
    whole = stack(slices)
    whole = whole.without({copy for _, copy in whole.duplicates()})
    if len(whole.headers) < 2:
        return None
    rounded = unrounded(whole)
    return whole if whole.even or (rounded and not rounded.gaps) else None


def _depths(header: Header, whole: Stack) -> np.ndarray | None:
    """Where an image's corners (4,) lie along the normal of a stack, in mm from its first slice;
    None where it does not say."""
    position, spacing = position_of(header), header.numbers("PixelSpacing", 2)
    columns, rows = header.number("Columns"), header.number("Rows")
    if position is None or spacing is None or columns is None or rows is None:
        return None
    row, column = np.reshape(header.all_needed("ImageOrientationPatient", 6), (2, 3))
    across, down = columns * spacing[1] * row, rows * spacing[0] * column
    corners = np.array([0 * across, across, down, across + down]) + position
    return (corners - whole.positions[0]) @ whole.normal
