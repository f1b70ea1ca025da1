"""Reading the CT: HU as int16 with its true geometry, or one sentence why the image cannot be used."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from ..errors import UnusableInput
from . import sanity

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
HU_RANGE = (-32768, 32767)


@dataclass(frozen=True)
class Scan:
    """A CT.

    voxels: int16 HU [k, j, i], possibly a read-only memory map; affine: (4, 4), voxel (i, j, k, 1) to patient
    coordinates in mm, LPS; header: the file's own header, copied to every labelmap; warnings: sentences.
    """

    voxels: np.ndarray
    affine: np.ndarray
    header: nib.Nifti1Header
    warnings: tuple[str, ...]

    @property
    def spacing(self) -> np.ndarray:
        """(i, j, k) in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000


def read_scan(path: Path) -> Scan:
    """Read a `.nii` or `.nii.gz` CT. Raises UnusableInput."""
    image = _open(path)
    header = image.header
    shape = sanity.check_shape(header.get_data_shape())
    affine = LPS_FROM_RAS @ sanity.check_geometry(header, shape)
    warnings = sanity.geometry_warnings(header)
    voxels = _hounsfield_units(image, shape)
    sanity.check_values(voxels)
    return Scan(voxels.T, affine, header, tuple(warnings))


def _open(path: Path) -> nib.Nifti1Image:
    if not path.exists():
        raise UnusableInput("There is no file at the given path: check the path.")
    if path.is_dir():
        raise UnusableInput("The given path is a folder: give one NIfTI file (.nii or .nii.gz).")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise UnusableInput("The image's name ends in neither .nii nor .nii.gz: give a NIfTI file.")
    if path.stat().st_size == 0:
        raise UnusableInput("The image file is empty: export or copy it again.")
    try:
        image = nib.load(path)
    except PermissionError as error:
        raise UnusableInput("The image file may not be read by this user: change its permissions.") from error
    except Exception as error:  # a damaged header makes nibabel raise almost anything
        raise UnusableInput("The image is not a readable NIfTI file: export it again as NIfTI-1.") from error
    if not isinstance(image, nib.Nifti1Image):
        raise UnusableInput("The image is not a NIfTI file: export it again as NIfTI-1 (.nii or .nii.gz).")
    return image


def _hounsfield_units(image: nib.Nifti1Image, shape: tuple[int, ...]) -> np.ndarray:
    """The voxels as int16 HU [i, j, k]; a memory map where an uncompressed file already holds them so."""
    stored = _stored_values(image, shape)
    slope, intercept = _unread(image).slope, _unread(image).inter
    if stored.dtype.kind not in "iuf":
        raise UnusableInput("The image holds colours or complex numbers, a CT holds one number a voxel: give a CT.")
    if stored.dtype.newbyteorder("=") == np.int16 and (slope, intercept) == (1.0, 0.0):
        return stored if stored.dtype.isnative else stored.astype(np.int16)
    hounsfield = np.empty(shape, np.int16, order="F")
    for k in range(shape[2]):
        plane = stored[:, :, k].astype(np.float64) * slope + intercept
        if not np.isfinite(plane).all():
            raise UnusableInput(
                f"Slice {k + 1} of {shape[2]} holds values that are no numbers (NaN or infinite): export the CT again."
            )
        hounsfield[:, :, k] = np.clip(np.rint(plane), *HU_RANGE)
    return hounsfield


def _unread(image: nib.Nifti1Image) -> ArrayProxy:
    assert isinstance(image.dataobj, ArrayProxy)  # as nib.load gives it
    return image.dataobj


def _stored_values(image: nib.Nifti1Image, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.asanyarray(_unread(image).get_unscaled()).reshape(shape, order="F")
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise UnusableInput("The image file ends too early or is damaged: copy or export it again.") from error
