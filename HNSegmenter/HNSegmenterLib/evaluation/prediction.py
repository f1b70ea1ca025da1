"""What a run of the network left for one patient: labelmaps, or the contours of its RTSTRUCT."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import UnusableInput
from ..grids import same_grid
from ..result import NOT_IN_MODEL, Result
from .dataset import read_image
from .rasterise import read_contours

SEGMENTATIONS, RESULT, RTSTRUCT = "segmentations", "result.json", "rtstruct.dcm"


@dataclass(frozen=True)
class Prediction:
    """A patient's results: folder/[segmentations/]<TG-263 name>.nii.gz, perhaps with result.json.

    grid: of the CT that was segmented. contours: take the masks from rtstruct.dcm in place of the labelmaps.
    """

    folder: Path
    grid: sitk.Image
    contours: bool = False

    @cached_property
    def result(self) -> Result | None:
        """None without a result.json. Raises RuntimeFault if it is unreadable."""
        return Result.read(self.folder / RESULT) if (self.folder / RESULT).is_file() else None

    @cached_property
    def _drawn(self) -> dict[str, np.ndarray]:
        return read_contours(self.folder / RTSTRUCT, self.grid)

    def mask(self, organ: str) -> np.ndarray | None:
        """bool [k, j, i] on the grid, None where nothing was written. Raises UnusableInput."""
        if self.contours:
            return self._drawn.get(organ)
        path = _labelmaps(self.folder) / f"{organ}.nii.gz"
        if not path.is_file():
            return None
        labelmap = read_image(path)
        if not same_grid(labelmap, self.grid):
            raise UnusableInput(f"{path} is not on the grid of the patient's label.nii.gz: resample it first.")
        return sitk.GetArrayFromImage(labelmap) != 0


def organs_tried(folder: Path) -> set[str]:
    """Names of the organs that a prediction's folder has files of, or that its result.json says were looked for."""
    tried = {file.name.removesuffix(".nii.gz") for file in _labelmaps(folder).glob("*.nii.gz")}
    if (folder / RESULT).is_file():
        tried |= {organ.name for organ in Result.read(folder / RESULT).organs if organ.status != NOT_IN_MODEL}
    return tried


def _labelmaps(folder: Path) -> Path:
    return folder / SEGMENTATIONS if (folder / SEGMENTATIONS).is_dir() else folder
