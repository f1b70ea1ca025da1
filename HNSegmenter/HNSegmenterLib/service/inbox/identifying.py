"""Which of the model's organs the ROIs of a reviewed structure set are:
by name or, where somebody renamed them, by code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...result import Organ
from ...rtstruct.pairing import PairedRoi
from ...rtstruct.rois import interpreted_type


def identified(rois: Sequence[PairedRoi], organs: Sequence[Organ], warn: Callable[[str], None]) -> dict[int, Organ]:
    """ROI Number -> the organ that the ROI is; ROIs that are none of the model's have no entry.

    A name counts more than a code, since it is the name that is read. A code counts where one ROI alone bears it and it
    is one organ's alone. warn gets a sentence for each code that does not count.
    """
    by_name = {organ.name.casefold(): organ for organ in organs}
    named = {roi.number: by_name[roi.name.casefold()] for roi in rois if roi.name.casefold() in by_name}
    taken = {organ.name for organ in named.values()}
    renamed = [roi for roi in rois if roi.number not in named and interpreted_type(roi.name) == "ORGAN"]
    found = dict(named)
    for roi in rois:
        meant = _by_code(roi, organs)
        if not meant or named.get(roi.number) in meant:
            continue
        if roi not in renamed:
            warn(f"{roi.name} bears the code of {_listed(organ.name for organ in meant)}: its name counts.")
            continue
        free = [organ for organ in meant if organ.name not in taken]
        rivals = [
            other for other in renamed if other is not roi and any(organ in free for organ in _by_code(other, organs))
        ]
        if len(free) == 1 and not rivals:
            found[roi.number] = free[0]
        elif free:
            why = (
                f"{_listed(other.name for other in rivals)} bears it too"
                if rivals
                else "it is the code of several organs"
            )
            warn(
                f"{roi.name} bears the code of {_listed(organ.name for organ in free)}, "
                f"but was not taken for it: {why}."
            )
    return found


def _by_code(roi: PairedRoi, organs: Sequence[Organ]) -> list[Organ]:
    return [organ for organ in organs if organ.code and _code(organ, organ.code) in roi.codes]


def _code(organ: Organ, code: dict) -> tuple[str, str, str]:
    return code["value"], code["scheme"], organ.laterality["value"] if organ.laterality else ""


def _listed(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
