"""What a reviewer changed of a result on the node: its organs as the network drew them, and as they were approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from ...errors import Cancelled, HNSegmenterError, UnusableInput
from ...grids import same_grid
from ...pipeline import SEGMENTATIONS
from ...result import NOT_IN_MODEL, Organ, Result, model_name
from ...rtstruct import SliceContour, pair, trace
from ...rtstruct.filled import filled
from ...silent_libraries import quiet
from ..corrections.measuring import Approved, Drawn, corrections
from ..node.client import Node
from .fetching import unpack_results
from .identifying import identified

if TYPE_CHECKING:
    import numpy as np
    from pydicom.dataset import Dataset

    from ...dicom import PlanningCT


def record(
    node: Node,
    series: str,
    work: Path,
    ct: PlanningCT,
    result: Result,
    dataset: Dataset,
    contours: Mapping[str, Sequence[SliceContour]],
    now: datetime,
) -> dict | None:
    """How much was corrected, for the review; None where it cannot be told, for that is no reason not to approve.

    work: a private folder, into which the result is unpacked; dataset, contours: as approved (rtstruct.placed).
    Raises Cancelled.
    """
    try:
        unpack_results(node, series, work)
        found = corrections(
            drawn_organs(work, result, ct), approved_organs(dataset, result, ct, contours), ct.image.GetSpacing()
        )
    except Cancelled:
        raise
    except (HNSegmenterError, OSError, RuntimeError, ValueError, MemoryError):
        return None
    return {"time": now.isoformat(timespec="seconds"), "organs": [one.to_dict() for one in found]}


def approved_organs(
    dataset: Dataset, result: Result, ct: PlanningCT, contours: Mapping[str, Sequence[SliceContour]]
) -> dict[str, Approved]:
    """By the name of the model's organ, whatever the clinic calls it. Raises UnusableInput."""
    rois = pair(dataset).rois
    with quiet():
        organs = identified(rois, result.organs, lambda _sentence: None)
    return {
        organs[roi.number].name: Approved(
            str(roi.item.get("ROIGenerationAlgorithm") or ""), filled(contours[roi.name], ct)
        )
        for roi in rois
        if roi.number in organs and contours.get(roi.name)
    }


def drawn_organs(folder: Path, result: Result, ct: PlanningCT) -> dict[str, Drawn]:
    """By name, all organs of the model. folder: an unpacked result. Raises UnusableInput for a damaged labelmap."""
    return {
        organ.name: Drawn(model_of(organ, result), organ.found, _mask(folder, organ, ct) if organ.found else None)
        for organ in result.organs
        if organ.status != NOT_IN_MODEL
    }


def model_of(organ: Organ, result: Result) -> str:
    """Name and version of the model that drew an organ, where several did of its own."""
    return model_name(getattr(organ, "model", None) or result.model)


@quiet()
def _mask(folder: Path, organ: Organ, ct: PlanningCT) -> np.ndarray | None:
    """bool [k, j, i] on the CT's grid; None where the result has no labelmaps."""
    if not isinstance(organ.file, str) or not (path := folder / SEGMENTATIONS / organ.labelmap).is_file():
        return None
    try:
        labelmap = sitk.ReadImage(str(path), sitk.sitkUInt8)
    except RuntimeError as error:
        raise UnusableInput(f"The labelmap of {organ.name} on the node is damaged.") from error
    if not same_grid(labelmap, ct.image):
        raise UnusableInput(f"The labelmap of {organ.name} on the node lies on another CT.")
    labelmap.CopyInformation(ct.image)
    if ct.resampled:  # what its contours on the slices enclose: an organ that nobody touched is to be the same
        return filled(trace(ct, labelmap), ct)
    return sitk.GetArrayFromImage(labelmap) != 0
