"""What a variation starts from and what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

AIR_HU, HIGHEST_HU = -1000, 3071
TISSUE_HU = -400  # between air and tissue, as bodies are found
SLICE_CM2 = 85.0  # of tissue: a slice with less is no whole slice of a head or neck


@dataclass(frozen=True)
class Scan:
    """A patient: ct (HU, axial slices k) and organs, TG-263 name -> bool [k, j, i] on its grid."""

    ct: sitk.Image
    organs: dict[str, np.ndarray]

    @property
    def hu(self) -> np.ndarray:
        """Read only."""
        return sitk.GetArrayViewFromImage(self.ct)


@dataclass(frozen=True)
class Draw:
    """What a variation may draw on. axial: slices must stay slices, for a DICOM series; donor: another patient."""

    random: np.random.Generator
    donor: Callable[[], Scan]
    axial: bool = False


def unmoved(mask: np.ndarray) -> np.ndarray:
    return mask


@dataclass(frozen=True)
class Varied:
    """A changed CT for the network.

    back: brings a mask from the changed CT's grid onto the scan's own, where it is compared, so that no reference is
    ever resampled. in_view: bool [k, j, i] on the scan's grid, what the changed CT still shows. mirrored: left is right
    in it. lowest, highest: the first and last slice k of the scan that a cut left, None where nothing was cut there.
    foreign: bool [k, j, i] on the scan's grid, where another patient's tissue was put.
    """

    ct: sitk.Image
    in_view: np.ndarray
    back: Callable[[np.ndarray], np.ndarray] = unmoved
    mirrored: bool = False
    lowest: int | None = None
    highest: int | None = None
    foreign: np.ndarray | None = None


Variation = Callable[[Scan, Draw], Varied]


def other_side(organ: str) -> str:
    """Parotid_R of Parotid_L; organs without a side stay."""
    return organ[:-1] + {"L": "R", "R": "L"}[organ[-1]] if organ.endswith(("_L", "_R")) else organ


def everything(scan: Scan) -> np.ndarray:
    """In view: all of the scan."""
    return np.ones(scan.hu.shape, bool)


def like(hu: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """int16 HU on a grid, in the range that CTs store."""
    image = sitk.GetImageFromArray(np.clip(np.rint(hu), AIR_HU - 24, HIGHEST_HU).astype(np.int16))
    image.CopyInformation(grid)
    return image


def mask_image(mask: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(grid)
    return image


def slice_tissue_cm2(ct: sitk.Image) -> np.ndarray:
    """Area above -400 HU of every slice k."""
    return (
        np.count_nonzero(sitk.GetArrayViewFromImage(ct) > TISSUE_HU, axis=(1, 2)) * np.prod(ct.GetSpacing()[:2]) / 100
    )
