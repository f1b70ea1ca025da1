"""Writing one organ's labelmap on exactly the input's grid."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from ..grid import Box, Canonical
from .nifti import Scan

GZIP_LEVEL = 1  # nearly all zeros: higher levels take longer and save nothing that matters


def write_labelmap(path: Path, scan: Scan, canonical: Canonical, mask: np.ndarray | None, box: Box | None) -> int:
    """Write a binary uint8 `.nii.gz`, beside and then renamed; returns its number of voxels.

    mask: bool or uint8 0/1 in `box` of the canonical grid [z, y, x]; None for an organ that was not found.
    """
    labelmap = np.zeros(scan.voxels.shape, np.uint8)
    if mask is not None:
        canonical.view(labelmap)[box] = mask
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as file:
            file.write(_header(scan).binaryblock)
            file.write(b"\0\0\0\0")
            for plane in labelmap:
                file.write(np.ascontiguousarray(plane).data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return 0 if mask is None else int(np.count_nonzero(mask))


def _header(scan: Scan) -> nib.Nifti1Header:
    """The input's geometry, bit for bit, around uint8 voxels: any reader gives both the same grid."""
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(scan.voxels.shape[::-1])
    header.set_data_dtype(np.uint8)
    for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                  "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"):  # fmt: skip
        header[field] = scan.header[field]
    header["pixdim"][:4] = scan.header["pixdim"][:4]
    header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_max"] = 1
    header["magic"] = b"n+1"
    return header
