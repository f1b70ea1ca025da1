"""CTs and structure sets of any origin in a folder: whoever collects them answers for their contours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

from ...checks.ranges import ORGANS
from ...dicom import find_series, read_series
from ...errors import UnusableInput
from ...events import CancelToken, Emit, ignore
from ...rtstruct import NameTable, pair
from ...rtstruct.complete import RT_STRUCTURE_SET_STORAGE, require_same_subject
from ...rtstruct.filled import filled
from ...rtstruct.placing import Placer
from ...silent_libraries import quiet
from .case import Case, LeftOut, Origin, drawn_only

if TYPE_CHECKING:
    import numpy as np
    from pydicom.dataset import Dataset

    from ...dicom import Inventory, PlanningCT, Series

NO_CT = "Its CT is not in the folder."
TWO_SETS = "Several structure sets are of this CT: leave one in the folder."
ANOTHER_CT = "Another CT of the same patient is collected already."


@dataclass
class Folder:
    """inventory: of the folder; sets: files of structure sets by Series Instance UID of their CT; homeless: those whose
    CT is not there; unknown: names of ROIs that are no organ by the clinic's table, with how often."""

    inventory: Inventory
    names: NameTable
    sets: dict[str, list[Path]] = field(default_factory=dict)
    homeless: list[Path] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path, names: NameTable, emit: Emit = ignore, cancel: CancelToken | None = None) -> Folder:
        """Look through a folder with all its subfolders. Raises UnusableInput (no structure set), Cancelled."""
        found = cls(find_series(path, emit, cancel), names)
        for series in found.inventory.series:
            for header in series.headers:
                if header.text("SOPClassUID") == RT_STRUCTURE_SET_STORAGE:
                    found._file(header.path)
        if not found.sets and not found.homeless:
            raise UnusableInput(f"{path} holds no structure set (RTSTRUCT): give the folder of CTs and structure sets.")
        return found

    def cases(self, cancel: CancelToken) -> Iterator[tuple[Origin, Case | LeftOut]]:
        """Each CT that somebody contoured, or why it cannot be taken, in no order of time. Raises Cancelled."""
        for file in self.homeless:
            yield Origin(file.name, "", file.name), LeftOut(NO_CT)
        taken: set[str] = set()
        for uid in sorted(self.sets, key=lambda one: sha256(one.encode()).hexdigest()):
            cancel.raise_if_cancelled()
            files, series = self.sets[uid], self._series(uid)
            origin = Origin(files[0].name, uid, _person(series))
            try:
                if len(files) > 1:
                    raise LeftOut(TWO_SETS)
                if origin.patient in taken:
                    raise LeftOut(ANOTHER_CT)
                case: Case | LeftOut = self._case(origin, files[0], cancel)
                taken.add(origin.patient)
            except LeftOut as reason:
                case = reason
            except UnusableInput as refusal:
                case = LeftOut(refusal.sentence)
            yield origin, case

    def _series(self, uid: str) -> Series:
        series = self.inventory.find(uid)
        assert series is not None  # _file put it there
        return series

    def _file(self, path: Path) -> None:
        """A structure set to the CT that it names or, if that is not there, the only one of its frame and study."""
        try:
            dataset = _read(path)
        except UnusableInput:
            self.homeless.append(path)
            return
        there = {series.uid for series in self.inventory.series if series.uid and series.modality == "CT"}
        named = _series_named(dataset) & there
        if not named:
            frames, study = _frames(dataset), str(dataset.get("StudyInstanceUID") or "")
            named = {uid for uid in there if _lies_in(self._series(uid), frames, study)}
        if len(named) == 1:
            self.sets.setdefault(named.pop(), []).append(path)
        else:
            self.homeless.append(path)

    def _case(self, origin: Origin, path: Path, cancel: CancelToken) -> Case:
        ct = read_series(self.inventory, origin.series_uid, cancel=cancel)
        dataset = _read(path)
        require_same_subject(dataset, ct, lambda _sentence: None)
        organs, algorithms = self._organs(dataset, ct)
        return Case(origin, ct.image, drawn_only(organs), algorithms)

    @quiet()
    def _organs(self, dataset: Dataset, ct: PlanningCT) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        known = {name.casefold(): name for name in (*ORGANS, *self.names.own_names)}
        placer = Placer(ct)
        organs: dict[str, np.ndarray] = {}
        algorithms: dict[str, str] = {}
        for roi in pair(dataset).rois:
            name = known.get(self.names.organ_of(roi.name).casefold())
            if name is None:
                self.unknown[roi.name] += 1
                continue
            if name in organs:
                raise UnusableInput(f"Two ROIs are {name} by the name table: leave one.")
            organs[name] = filled(placer.place(name, roi.contours), ct)
            algorithms[name] = str(roi.item.get("ROIGenerationAlgorithm") or "")
        return organs, algorithms


@quiet()
def _read(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path)
    except Exception as error:  # whatever pydicom stumbles over
        raise UnusableInput("The structure set cannot be read: export it anew.") from error


def _person(series: Series) -> str:
    first = series.headers[0]
    return first.text("PatientID").strip() or first.text("StudyInstanceUID")


def _series_named(dataset: Dataset) -> set[str]:
    return {
        str(series.get("SeriesInstanceUID") or "")
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    }


def _frames(dataset: Dataset) -> set[str]:
    items = [dataset, *(dataset.get("ReferencedFrameOfReferenceSequence") or [])]
    return {str(item.FrameOfReferenceUID) for item in items if item.get("FrameOfReferenceUID")}


def _lies_in(series: Series, frames: set[str], study: str) -> bool:
    first = series.headers[0]
    return first.text("FrameOfReferenceUID") in frames and first.text("StudyInstanceUID") == study
