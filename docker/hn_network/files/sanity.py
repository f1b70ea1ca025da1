"""Is this image a CT of a head and neck that can be segmented? One sentence if not."""

from __future__ import annotations

from math import prod

import nibabel as nib
import numpy as np

from ..errors import UnusableInput

SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.1, 10.0
SMALLEST_EXTENT_MM, LARGEST_EXTENT_MM = 20.0, 2500.0
LARGEST_SHEAR = 0.01  # cosine between two axes: above it the voxels are no boxes
MOST_VOXELS = 1_000_000_000
METRES, MICROMETRES = 1, 3  # NIfTI-1's codes in xyzt_units
AIR_HU, TISSUE_HU = -200, 0
SOFT_TISSUE_HU = (-200, 300)
SMALLEST_SOFT_TISSUE_SHARE = 0.2  # of the voxels above AIR_HU; 0.6 and more in every head-and-neck CT
BRIGHTEST_HU = 100
SHIFT_HU = 1024  # what a rescale intercept that is applied twice takes off
BELOW_AIR_HU, LEAST_BELOW = -1500, 0.1
DENSE_HU, TISSUE_RANGE_HU, LEAST_SOFT = -500, (-200, 200), 0.6
"""Of what is denser than air, so much is soft tissue: 0.72 and more in 204 real CTs;
0.54 and less in the same, taken 1024 too low."""


def check_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Spatial shape (i, j, k); trailing axes of length 1 are dropped. Raises UnusableInput."""
    if min(shape, default=0) < 1:
        raise UnusableInput("The image has no voxels: export the CT again.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise UnusableInput(
            f"The image has {len(shape)} dimensions ({' x '.join(map(str, shape))}): give one three-dimensional CT."
        )
    if len(shape) < 3 or 1 in shape:
        raise UnusableInput("The image is a single slice: give the whole CT.")
    if prod(shape) > MOST_VOXELS:
        raise UnusableInput(f"The image has {' x '.join(map(str, shape))} voxels, too many: give one patient's CT.")
    i, j, k = shape
    return i, j, k


def check_geometry(header: nib.Nifti1Header, shape: tuple[int, int, int]) -> np.ndarray:
    """The affine (4, 4) of voxel indices to mm, RAS: the sform, else the qform. Raises UnusableInput."""
    sform, qform = _coded_affines(header)
    affine = sform if sform is not None else qform
    if affine is None:
        raise UnusableInput(
            "The image does not say how it lies in the patient (qform and sform codes are 0), so left and right "
            "can't be told apart: export it again with its orientation."
        )
    if int(header["xyzt_units"]) & 7 in (METRES, MICROMETRES):
        raise UnusableInput("The image gives its spacing in metres or micrometres: export it again in millimetres.")
    if not np.isfinite(affine).all():
        raise UnusableInput("The image's position holds values that are no numbers: export the CT again.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    size = " x ".join(f"{mm:.3g}" for mm in spacing)
    if spacing.min() < SMALLEST_SPACING_MM or spacing.max() > LARGEST_SPACING_MM:
        raise UnusableInput(
            f"The voxels measure {size} mm; {SMALLEST_SPACING_MM} to {LARGEST_SPACING_MM:g} mm can be segmented: "
            "check the spacing, or export the CT again."
        )
    cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 0.5 or np.abs(cosines - np.eye(3)).max() > LARGEST_SHEAR:
        raise UnusableInput(
            "The image's axes are not perpendicular (sheared or flat grid): resample the CT to a regular grid."
        )
    if sform is not None and qform is not None and nib.aff2axcodes(sform) != nib.aff2axcodes(qform):
        raise UnusableInput(
            "The image's qform and sform contradict each other about its orientation, so left and right can't be "
            "told apart: export it again."
        )
    extent = spacing * shape
    if extent.min() < SMALLEST_EXTENT_MM or extent.max() > LARGEST_EXTENT_MM:
        raise UnusableInput(
            f"The image measures {' x '.join(f'{mm:.0f}' for mm in extent)} mm; {SMALLEST_EXTENT_MM:.0f} to "
            f"{LARGEST_EXTENT_MM:.0f} mm along each axis can be segmented: give the whole CT."
        )
    return affine


def geometry_warnings(header: nib.Nifti1Header) -> list[str]:
    """Sentences about what is odd in the geometry, yet usable."""
    sform, qform = _coded_affines(header)
    if sform is not None and qform is not None and not np.allclose(sform, qform, atol=0.1):
        return ["The image's qform and sform differ: the sform was used."]
    return []


def check_values(hounsfield: np.ndarray) -> None:
    """Raises UnusableInput for values that are not HU of a body; int16, looks at every fourth voxel an axis."""
    sample = hounsfield[::4, ::4, :: max(1, min(4, hounsfield.shape[2] // 16))]
    lowest, highest = int(sample.min()), int(sample.max())
    if lowest == highest:
        raise UnusableInput(f"Every voxel of the image is {lowest}: give a CT.")
    if highest - lowest < BRIGHTEST_HU:
        raise UnusableInput(
            f"The image's values reach from {lowest} to {highest} only, this is no CT in Hounsfield units: "
            "give the CT as exported, not normalised."
        )
    if lowest > AIR_HU:
        raise UnusableInput(
            f"The image's lowest value is {lowest}, but air is -1000 in Hounsfield units: this may be an MR, or a CT "
            "without its rescale intercept: give a CT in Hounsfield units."
        )
    if _is_too_low(sample):
        raise UnusableInput(
            f"Air and soft tissue lie about {SHIFT_HU} too low in the image, these are no Hounsfield units: a rescale "
            "intercept seems to have been applied twice. Export the CT again."
        )
    body = sample > AIR_HU
    soft = body & (sample < SOFT_TISSUE_HU[1])
    if highest < TISSUE_HU or not body.any():
        raise UnusableInput(
            f"The image's highest value is {highest}, there is no tissue in it: give a CT of a patient."
        )
    if soft.sum() < SMALLEST_SOFT_TISSUE_SHARE * body.sum():
        raise UnusableInput(
            "Almost nothing in the image has the values of soft tissue (-200 to 300): this is no CT in Hounsfield "
            "units, or not of a patient: give a CT in Hounsfield units."
        )


def _is_too_low(sample: np.ndarray) -> bool:
    """Whether values look like a CT only once the intercept is added again; int16."""
    if np.mean(sample < BELOW_AIR_HU) < LEAST_BELOW or _soft_share(sample) >= LEAST_SOFT:
        return False
    return _soft_share(sample.astype(np.int32) + SHIFT_HU) >= LEAST_SOFT


def _soft_share(values: np.ndarray) -> float:
    dense = values > DENSE_HU
    soft = (values >= TISSUE_RANGE_HU[0]) & (values <= TISSUE_RANGE_HU[1])
    return float(np.count_nonzero(soft) / max(1, int(np.count_nonzero(dense))))


def _coded_affines(header: nib.Nifti1Header) -> tuple[np.ndarray | None, np.ndarray | None]:
    try:
        return header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise UnusableInput("The image's orientation (qform) is no rotation: export the CT again.") from error
