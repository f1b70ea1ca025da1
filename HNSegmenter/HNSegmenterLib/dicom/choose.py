"""Which series is the planning CT: the only one that can be, or the one that was asked for."""

from __future__ import annotations

import numpy as np

from ..errors import UnusableInput
from .contents import REFORMATS, some
from .find import ARCHIVE, NOT_DICOM, UNREADABLE, Inventory, Series
from .geometry import COSINE_TOLERANCE, SAME_POSITION_MM, cosines_of, most_shared, position_of
from .headers import Header

ENHANCED_CT = {"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"}
# Brainstem and parotids are each about 60 mm high: a shorter scan cannot hold even one of them whole.
# 20 slices reach that at 3 mm, the coarsest distance in use for planning.
MIN_SLICES = 20
MIN_LENGTH_MM = 60.0
LISTED = 12  # series or files named in one sentence


def choose(inventory: Inventory, series_uid: str | None = None) -> Series:
    """The planning CT series of an inventory.

    Raises UnusableInput where the asked one is absent or unsuitable, none is suitable, or several are (`candidates`).
    """
    if uid := series_uid or inventory.named_uid:
        return _asked(inventory, uid)
    if not inventory.series:
        raise UnusableInput(_nothing(inventory))
    suitable = [series for series in inventory.series if problem(series) is None]
    if not suitable:
        reasons = "; ".join(f"{label(series)} {problem(series)}" for series in inventory.series[:LISTED])
        raise UnusableInput(
            f"No planning CT in {inventory.path}: {reasons}. Export the axial planning CT from the scanner."
        )
    if len(suitable) > 1:
        listing = "; ".join(f"{label(series)}, {len(images(series))} slices" for series in suitable[:LISTED])
        raise UnusableInput(
            f"{inventory.path} holds {len(suitable)} CT series that could be the planning CT: {listing}. "
            "Say which one with --series UID.",
            [series.to_dict() for series in suitable],
        )
    return suitable[0]


def label(series: Series) -> str:
    return f'{series.uid or "(no UID)"} "{series.description}"'


def images(series: Series) -> tuple[Header, ...]:
    """The slices of the series' scan, without the localizers and other objects that were filed with them."""
    return series.contents.slices


def problem(series: Series) -> str | None:
    """Why a series cannot be the planning CT at all, as the end of a sentence; None where it can.

    Only its kind counts here: a damaged planning CT is still the planning CT, and is refused later with the reason.
    """
    contents, slices = series.contents, images(series)
    if not series.uid:
        return "has no Series Instance UID"
    if "\\" in series.uid:
        return "has several Series Instance UIDs"
    if contents.others >= contents.images > 0:
        count = some(contents.images, "CT image", "CT images")
        return (
            f"holds {count} beside {contents.left_out}: no majority says what "
            "it is (export them as series of their own)"
        )
    if series.modality != "CT":
        return f"is no CT (its modality is {series.modality})"
    if ENHANCED_CT & {header.text("SOPClassUID") for header in series.headers if not contents.images} or _frames(
        slices
    ):
        return "is a multi-frame CT, which most planning systems refuse too (export it as single-slice CT images)"
    if not contents.images:
        return "holds secondary captures or other objects in place of CT images"
    if not slices:
        return "is a localizer (scout)"
    if reformats := REFORMATS & {word for header in slices for word in header.words("ImageType")}:
        return f"holds images computed from a scan ({', '.join(sorted(reformats))}), not the scan itself"
    if len(slices) < MIN_SLICES:
        return f"has only {len(slices)} slices (at least {MIN_SLICES} are needed)"
    return _too_short(slices) or _not_axial(slices)


def _frames(slices: tuple[Header, ...]) -> bool:
    """Whether most images have several frames. A single one is damaged, and refused for that."""
    return 2 * sum((header.number("NumberOfFrames") or 1) > 1 for header in slices) > len(slices)


def _too_short(slices: tuple[Header, ...]) -> str | None:
    cosines = _usual_cosines(slices)
    positions = [position_of(header) for header in slices]
    if cosines is None or None in positions:
        return None
    along = np.sort(np.array(positions) @ np.cross(cosines[:3], cosines[3:]))
    places = 1 + sum(along[1:] - along[:-1] > SAME_POSITION_MM)
    if places < MIN_SLICES:
        return f"has only {places} slice positions (at least {MIN_SLICES} are needed)"
    if along[-1] - along[0] < MIN_LENGTH_MM:
        return f"is only {along[-1] - along[0]:.0f} mm long (at least {MIN_LENGTH_MM:.0f} mm are needed)"
    return None


def _not_axial(slices: tuple[Header, ...]) -> str | None:
    cosines = _usual_cosines(slices)
    if cosines is None:
        return None
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    plane = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return None if plane == "axial" else f"is a {plane} reformat (contours belong on the axial series)"


def _usual_cosines(slices: tuple[Header, ...]) -> np.ndarray | None:
    """The orientation of more than half of the slices whose orientation can be read; None where there is none."""
    sound = np.array([cosines for header in slices if (cosines := cosines_of(header))])
    if not len(sound):
        return None
    usual = sound[most_shared(sound, COSINE_TOLERANCE)]
    return usual if np.mean(np.abs(sound - usual).max(axis=1) <= COSINE_TOLERANCE) > 0.5 else None


def _asked(inventory: Inventory, uid: str) -> Series:
    series = inventory.find(uid)
    if series is None:
        listing = "; ".join(f"{label(other)} {other.modality}" for other in inventory.series[:LISTED]) or "no series"
        raise UnusableInput(f"There is no series {uid} in {inventory.path}, which holds: {listing}. Check the UID.")
    if reason := problem(series):
        raise UnusableInput(f"Series {label(series)} {reason}. Choose the axial planning CT.")
    return series


def _nothing(inventory: Inventory) -> str:
    counts = inventory.ignored_counts()
    found = []
    if counts[NOT_DICOM]:
        found.append(f"{counts[NOT_DICOM]} files that are not DICOM (damaged or encrypted ones look the same)")
    if counts[ARCHIVE]:
        found.append(f"{counts[ARCHIVE]} archives, which are not opened: unpack them first")
    if counts[UNREADABLE]:
        found.append(f"{counts[UNREADABLE]} files or folders that may not be read: check their permissions")
    contents = "; ".join(found) or "nothing"
    return f"No DICOM image in {inventory.path}: it holds {contents}. Give the folder that holds the CT series."
