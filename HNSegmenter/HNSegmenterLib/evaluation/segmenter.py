"""Predictions for evaluate: the pipeline run on a data set's CTs, as they are, varied, or as DICOM series."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

PREDICTIONS, VARIED = "predictions", "variations"


class Progress:
    """Turns each job's own progress into that of the whole evaluation, and says what is on."""

    def __init__(self, total: int, args, ui):
        self._total, self._args, self._ui, self._done = total, args, ui, 0

    def next(self, what: str) -> None:
        """Raises Cancelled."""
        from ..events import Event

        self._args.cancel.raise_if_cancelled()
        self._ui.emit(Event("progress", what, self._done / self._total, f"({self._done + 1} of {self._total})"))
        self._done += 1

    def within(self, event) -> None:
        """Emit of a job."""
        if event.kind == "progress" and event.fraction is not None:
            self._ui.emit(replace(event, fraction=(self._done - 1 + event.fraction) / self._total))
        elif event.kind == "warning":
            self._ui.emit(event)


class Segmenter:
    """Runs the pipeline for one patient after the other, into folder/predictions/<patient> and
    folder/variations/<name>/<patient>.

    contours: each CT is written as a DICOM series of made-up identity,
        and the RTSTRUCT's contours are what is compared.
    """

    def __init__(self, runtime, folder: Path, contours: bool, cancel, emit: Callable):
        self._runtime, self._folder, self._contours, self._cancel, self._emit = runtime, folder, contours, cancel, emit
        self._models: list[dict] = []

    def as_it_is(self, patient):
        from .dataset import read_image
        from .prediction import Prediction

        out = self._folder / PREDICTIONS / patient.name
        if self._contours:
            self._segment_copy(read_image(patient.ct), out)
        else:
            self._segment(patient.ct, out)
        return Prediction(out, patient.read_reference(), self._contours)

    def varied(self, patient, variation: str, ct):
        from .prediction import Prediction

        out = self._folder / VARIED / variation / patient.name
        self._segment_copy(ct, out)
        return Prediction(out, ct, self._contours)

    def _segment_copy(self, ct, out: Path) -> None:
        """Segment a CT that lies in a file only as long as it is needed."""
        import SimpleITK as sitk

        from ..job import Job
        from ..sample.series import write_series

        with Job(cancel=self._cancel) as job:
            if self._contours:
                source = write_series(ct, job.path / "ct", made_up())
            else:
                source = job.path / "ct.nii"
                sitk.WriteImage(ct, str(source), useCompression=False)
            self._segment(source, out)

    def _segment(self, source: Path, out: Path) -> None:
        """Raises HNSegmenterError if the network is not the first one's: one report is of one network."""
        from ..errors import HNSegmenterError
        from ..pipeline import segment

        models = segment(source, out, self._runtime, emit=self._emit, cancel=self._cancel).result.models
        self._models = self._models or models
        if models != self._models:
            raise HNSegmenterError("The network was exchanged during the evaluation: evaluate again.")


def made_up():
    """The identity of a data set's patient in DICOM: none."""
    from ..sample.series import MadeUp

    return MadeUp(
        "TEST^Evaluation",
        "HNSEG-EVALUATION",
        "Evaluation, made-up identity",
        "CT of a data set",
        "Made-up identity: the CT is one of a data set of contours",
        f"HN Segmenter evaluation {uuid.uuid4()}",
    )
