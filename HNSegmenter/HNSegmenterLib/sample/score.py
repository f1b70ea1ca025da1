"""How well a result covers the sample patient's known organs. It proves an installation, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import UnusableInput
from ..grids import same_grid
from .volume import ORGANS, sample_volume


def score(labelmaps: Mapping[str, Path | sitk.Image]) -> dict[str, float]:
    """Dice of each labelmap (path or image, keys TG-263) against the known organ; 0.0 where nothing was found.

    Labelmaps of other organs are passed over. Raises UnusableInput for a labelmap on another grid than the sample CT's.
    """
    ct, known = sample_volume()
    scores = {}
    for name in ORGANS:
        if name not in labelmaps:
            continue
        given = labelmaps[name]
        found = given if isinstance(given, sitk.Image) else sitk.ReadImage(str(given))
        if not same_grid(found, ct):
            raise UnusableInput(
                f"The labelmap of {name} is not on the sample patient's grid: segment the series that "
                "the sample patient was written to, and score that result."
            )
        scores[name] = dice(sitk.GetArrayViewFromImage(found) > 0, sitk.GetArrayViewFromImage(known[name]) > 0)
    return scores


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2 |a and b| / (|a| + |b|) of two masks; 0.0 if both are empty, since nothing was found."""
    both = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / both) if both else 0.0
