"""From labelmaps to an RTSTRUCT on disk, in one call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from ..errors import RuntimeFault
from ..events import Emit, Event, ignore
from ..result import Result
from ..silent_libraries import quiet
from .complete import Options, complete
from .file import write
from .names import NameTable
from .rois import Roi
from .tracing.contours import trace
from .writer import build

if TYPE_CHECKING:
    from ..dicom import PlanningCT


@dataclass
class Report:
    """What was written; seconds: stage -> s."""

    path: Path
    rois: list[str]
    contours: int
    points: int
    sop_instance_uid: str
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@quiet()
def write_rtstruct(
    ct: PlanningCT,
    labelmaps: Mapping[str, sitk.Image],
    result: Result,
    path: Path,
    names: NameTable | None = None,
    emit: Emit | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """Trace, build, complete, write and read back; labelmaps: TG-263 name -> binary image on `ct.image`'s grid.

    Organs not found get no ROI but a line in the description. Raises as `trace`, `complete` and `write` do.
    """
    options = Options(names=names or NameTable(), remarks=remarks)
    warnings = options.names.check_against(organ.name for organ in result.organs)
    clock = _Clock(emit or ignore)
    rois = []
    for number, organ in enumerate(result.organs):
        clock.progress(number / (len(result.organs) + 2))
        if organ.found:
            if organ.name not in labelmaps:
                raise RuntimeFault(f"{organ.name} was found, but its labelmap is missing: run the segmentation again.")
            rois.append(Roi(organ.name, organ, trace(ct, labelmaps[organ.name])))
    clock.lap("trace")
    dataset = complete(build(ct, rois), ct, result.model, result.organs, options, warnings.append)
    clock.lap("complete")
    write(dataset, path, {options.names.own_name(roi.name): roi.contours for roi in rois if roi.contours})
    clock.lap("write")
    clock.progress(1.0)
    kept = [item.ContourSequence for item in dataset.ROIContourSequence]
    return Report(
        path=Path(path),
        rois=[str(item.ROIName) for item in dataset.StructureSetROISequence],
        contours=sum(len(sequence) for sequence in kept),
        points=sum(int(item.NumberOfContourPoints) for sequence in kept for item in sequence),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        seconds=clock.seconds,
        warnings=warnings,
    )


class _Clock:
    def __init__(self, emit: Emit):
        self._emit = emit
        self._start = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def progress(self, fraction: float) -> None:
        self._emit(Event("progress", stage="rtstruct", fraction=fraction))

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self.seconds["total"] = now - self._start
        self._last = now
