"""Which contours and observations of an RTSTRUCT belong to which ROI: those that name its ROI Number, and no others.

Everything that reads an RTSTRUCT asks here. Items are never paired by their place in a sequence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from ..dicom.identity import UNREADABLE
from ..errors import UnusableInput

_MOST_NAMES = 6  # of the ROIs in one sentence
_EXPORT_ANEW = "open the structure set in the program that it comes from, and export it anew"


@dataclass(frozen=True)
class PairedRoi:
    """One ROI. item: of the Structure Set ROI Sequence;
    drawn, observations: of the ROI Contour and RT ROI Observations Sequence."""

    number: int
    name: str
    item: Dataset
    drawn: list[Dataset] = field(default_factory=list)
    observations: list[Dataset] = field(default_factory=list)

    @property
    def contours(self) -> list[Dataset]:
        """The Contour Sequence's items, of all that is drawn of it."""
        return [contour for drawn in self.drawn for contour in _items(drawn, "ContourSequence")]

    @property
    def color(self) -> tuple[int, int, int] | None:
        """ROI Display Color, the first that is stated."""
        stated = [drawn.get("ROIDisplayColor") for drawn in self.drawn]
        return next(
            (
                (int(color[0]), int(color[1]), int(color[2]))
                for color in stated
                if color is not None and len(color) == 3
            ),
            None,
        )

    @property
    def interpreted_types(self) -> set[str]:
        """RT ROI Interpreted Type, as its observations state it: several if they contradict each other."""
        return {str(seen.RTROIInterpretedType) for seen in self.observations if seen.get("RTROIInterpretedType")}

    @property
    def codes(self) -> set[tuple[str, str, str]]:
        """What its observations say that it is: code values, their schemes,
        and the values of a modifier (the side) or ""."""
        return {_code(item) for seen in self.observations for item in _items(seen, "RTROIIdentificationCodeSequence")}


@dataclass(frozen=True)
class Pairing:
    """rois in the order of the Structure Set ROI Sequence;
    nameless: ROI Number (None: none) -> contours that no ROI owns."""

    rois: list[PairedRoi]
    nameless: dict[int | None, int]

    def remarks(self) -> list[str]:
        """Sentences on what had to be put together or left out."""
        found = []
        for roi in self.rois:
            parts = sum(bool(_items(drawn, "ContourSequence")) for drawn in roi.drawn)
            if parts > 1:
                found.append(
                    f"The contours of {roi.name} stand in {parts} ROI Contour items: they were taken together."
                )
        for number, count in self.nameless.items():
            where = "name no ROI" if number is None else f"belong to ROI Number {number}, which no ROI bears"
            found.append(f"Contours that {where} were left out: {count}.")
        return found


def pair(dataset: Dataset) -> Pairing:
    """Every ROI of an RTSTRUCT with what refers to it.

    Raises UnusableInput if an ROI has no readable name or no number of its own,
    so that its contours could be another's.
    """
    rois = [_roi(item) for item in _items(dataset, "StructureSetROISequence")]
    _require_own_numbers(rois)
    _require_own_names(rois)
    by_number = {roi.number: roi for roi in rois}
    nameless: dict[int | None, int] = defaultdict(int)
    for item in _items(dataset, "ROIContourSequence"):
        number = _number(item, "ReferencedROINumber")
        if number in by_number:
            by_number[number].drawn.append(item)
        elif contours := _items(item, "ContourSequence"):
            nameless[number] += len(contours)
    for item in _items(dataset, "RTROIObservationsSequence"):
        if (number := _number(item, "ReferencedROINumber")) in by_number:
            by_number[number].observations.append(item)
    return Pairing(rois, dict(nameless))


def _roi(item: Dataset) -> PairedRoi:
    name, number = _name(item), _number(item, "ROINumber")
    if not name:
        raise UnusableInput(
            f"The ROI of {'no ROI Number' if number is None else f'ROI Number {number}'} has no name: give it one."
        )
    if number is None:
        raise UnusableInput(f"{name} has no ROI Number, so that no contour can be told to be its own: {_EXPORT_ANEW}.")
    return PairedRoi(number, name, item)


def _name(item: Dataset) -> str:
    """Raises UnusableInput if it does not fit the character set that the structure set states."""
    try:
        name = str(item.get("ROIName") or "").strip()
    except Exception:  # noqa: BLE001 - a codec of that name that is for no texts
        name = UNREADABLE
    if UNREADABLE in name:
        raise UnusableInput(
            f"The name of ROI {item.get('ROINumber')} cannot be read: it does not fit the character set that the "
            "structure set states. Name it anew in plain ASCII letters."
        )
    return name


def _require_own_numbers(rois: list[PairedRoi]) -> None:
    bearers: dict[int, list[str]] = defaultdict(list)
    for roi in rois:
        bearers[roi.number].append(roi.name)
    for number, names in bearers.items():
        if len(names) > 1:
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            raise UnusableInput(
                f"{len(names)} ROIs bear ROI Number {number} ({', '.join(names[:_MOST_NAMES])}{more}), "
                f"so that nobody can tell whose contours are whose: {_EXPORT_ANEW}."
            )


def _require_own_names(rois: list[PairedRoi]) -> None:
    taken: set[str] = set()
    for roi in rois:
        if roi.name.casefold() in taken:
            raise UnusableInput(f"Two ROIs are called {roi.name!r}: give each a name of its own.")
        taken.add(roi.name.casefold())


def _number(item: Dataset, keyword: str) -> int | None:
    """None if it is missing, empty or no whole number."""
    try:
        return int(item.get(keyword))
    except Exception:  # noqa: BLE001 - pydicom converts when asked, and stumbles over damaged values in many ways
        return None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or [])


def _code(item: Dataset) -> tuple[str, str, str]:
    sides = _items(item, "SegmentedPropertyTypeModifierCodeSequence")
    side = str(sides[0].get("CodeValue") or "") if sides else ""
    return str(item.get("CodeValue") or ""), str(item.get("CodingSchemeDesignator") or ""), side
