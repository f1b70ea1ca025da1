"""What the RTSTRUCT tests share: made-up organs, and the independent programs that read our files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from HNSegmenterLib.dicom import PlanningCT, read_planning_ct
from HNSegmenterLib.result import Organ, Result
from HNSegmenterLib.rtstruct import pair
from Testing.machine import require, require_program
from Testing.phantoms import head_phantom, write_ct_series

MODEL = {"name": "hn-densevnet", "version": "0.1.0", "digest": "sha256:" + "0123456789abcdef" * 4}
LEFT, RIGHT = ({"value": v, "scheme": "SCT", "meaning": m} for v, m in (("7771000", "Left"), ("24028007", "Right")))
_CODES = {
    "Brainstem": ("119238007", "Brain stem"),
    "SpinalCord": ("2748008", "Spinal cord"),
    "Parotid": ("45289007", "Parotid gland"),
    "Eye": ("79652003", "Eyeball"),
}
_COLORS = ((0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (86, 180, 233), (204, 121, 167))
NAMES = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")


def organs(**statuses: str) -> list[Organ]:
    """The six organs, all found unless said otherwise."""
    made = []
    for label, (name, color) in enumerate(zip(NAMES, _COLORS, strict=True), start=1):
        value, meaning = _CODES[name.split("_")[0]]
        side = {"L": LEFT, "R": RIGHT}.get(name[-2:].lstrip("_"))
        code = {"value": value, "scheme": "SCT", "meaning": meaning}
        made.append(Organ(name, label, color, code, side if "_" in name else None, statuses.get(name, "found")))
    return made


def result(**statuses: str) -> Result:
    return Result(model=dict(MODEL), organs=organs(**statuses))


def make_ct(folder: Path, shape=(24, 64, 64), spacing=(4.0, 4.0, 4.0), **variations) -> PlanningCT:
    """Write a head phantom as a CT series and read it back; shape (k, j, i), spacing (x, y, z) mm."""
    write_ct_series(folder, head_phantom(shape, spacing), spacing, **variations)
    return read_planning_ct(folder)


def labelmap(ct: PlanningCT, mask: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(mask, np.uint8))
    image.CopyInformation(ct.image)
    return image


def ellipsoid(ct: PlanningCT, centre, radii) -> sitk.Image:
    """Voxels of `ct.image` whose centres are in an ellipsoid;
    centre and radii as shares (x, y, z) of the image's size."""
    k, j, i = np.indices(sitk.GetArrayViewFromImage(ct.image).shape, dtype=np.float32)
    size = np.array(ct.image.GetSize(), float)
    inside = sum(((axis / (n - 1) - c) / r) ** 2 for axis, n, c, r in zip((i, j, k), size, centre, radii, strict=True))
    return labelmap(ct, inside <= 1)


def head_organs(ct: PlanningCT) -> dict[str, sitk.Image]:
    """Six plain organs in the middle of the image, lying apart."""
    return {
        "Brainstem": ellipsoid(ct, (0.5, 0.55, 0.6), (0.05, 0.06, 0.2)),
        "SpinalCord": ellipsoid(ct, (0.5, 0.6, 0.2), (0.03, 0.03, 0.25)),
        "Parotid_L": ellipsoid(ct, (0.7, 0.5, 0.45), (0.06, 0.09, 0.2)),
        "Parotid_R": ellipsoid(ct, (0.3, 0.5, 0.45), (0.06, 0.09, 0.22)),
        "Eye_L": ellipsoid(ct, (0.6, 0.3, 0.75), (0.05, 0.05, 0.1)),
        "Eye_R": ellipsoid(ct, (0.4, 0.3, 0.75), (0.05, 0.05, 0.1)),
    }


def drawing(*rois: tuple[str, list[np.ndarray]], kind="CLOSED_PLANAR") -> Dataset:
    """A bare RTSTRUCT as a stranger might leave it: (ROI name, (n, 3) rings), numbered from 7."""
    dataset = Dataset()
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(), Sequence()
    for number, (name, rings) in enumerate(rois, start=7):
        item, drawn = Dataset(), Dataset()
        item.ROINumber, item.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Sequence()
        for ring in rings:
            contour = Dataset()
            contour.ContourGeometricType = kind
            contour.NumberOfContourPoints = len(ring)
            contour.ContourData = [float(f"{value:.3f}") for value in np.asarray(ring).ravel()]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(item)
        dataset.ROIContourSequence.append(drawn)
    return dataset


def ring(ct: PlanningCT, slice_index: float, *pixels: tuple[float, float]) -> np.ndarray:
    """(n, 3) points at (column, row) of an axial slice, 0 at the first pixel's centre;
    between slices for a broken index."""
    first, second = ct.slices[:2]
    x, y, z = first.position
    z += slice_index * (second.position[2] - z)
    return np.array([[x + column * first.column_spacing, y + row * first.row_spacing, z] for column, row in pixels])


def square(ct: PlanningCT, slice_index: float, first=(20, 20), last=(30, 30)) -> np.ndarray:
    (c0, r0), (c1, r1) = first, last
    return ring(ct, slice_index, (c0, r0), (c1, r0), (c1, r1), (c0, r1))


def saved(dataset: Dataset, path: Path) -> Path:
    """As a file of somebody else's."""
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "2.25.1"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        "2.25.1",
    )
    if pydicom.__version__ >= "3":
        dataset.save_as(path, enforce_file_format=True)
    else:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.save_as(path, write_like_original=False)
    return path


def contours(dataset: Dataset) -> dict[str, list]:
    """ROI name -> its contours as (slice, points)."""
    return {
        roi.name: [
            (item.ContourImageSequence[0].ReferencedSOPInstanceUID, list(item.ContourData)) for item in roi.contours
        ]
        for roi in pair(dataset).rois
    }


def contains(ring: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) bool: which of the (n, 2) points are inside by the even-odd rule."""
    ax, ay = ring.T[:, :, None]
    bx, by = np.roll(ring, -1, axis=0).T[:, :, None]
    px, py = points.T[:, None, :]
    spans = (ay <= py) != (by <= py)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_of_edge = px < ax + (py - ay) / (by - ay) * (bx - ax)
    return np.count_nonzero(spans & left_of_edge, axis=0) % 2 == 1


def dice(one: np.ndarray, two: np.ndarray) -> float:
    one, two = one > 0, two > 0
    return 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))


def volume_ml(image: sitk.Image) -> float:
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(image)) * np.prod(image.GetSpacing()) / 1000)


def plastimatch_masks(rtstruct: Path, ct_folder: Path, ct: PlanningCT, out: Path) -> dict[str, np.ndarray]:
    """ROI name -> mask [k, j, i] on the grid of `ct`, as plastimatch rasterises it (Debian package plastimatch)."""
    program = require_program("plastimatch")
    command = [
        program,
        "convert",
        "--input",
        rtstruct,
        "--referenced-ct",
        ct_folder,
        "--output-prefix",
        out,
        "--prefix-format",
        "nii",
    ]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return {path.stem: _on_grid(path, ct) for path in out.glob("*.nii")}


# The reader's last release calls a pydicom function by the name that it had before pydicom 3.
_READER = """
import pydicom, sys
pydicom.read_file = pydicom.dcmread
from dcmrtstruct2nii import dcmrtstruct2nii
dcmrtstruct2nii(*sys.argv[1:4], gzip=False, convert_original_dicom=False)
"""


def dcmrtstruct2nii_masks(rtstruct: Path, ct_folder: Path, ct: PlanningCT, out: Path) -> dict[str, np.ndarray]:
    """ROI name -> mask [k, j, i] on the grid of `ct`, as dcmrtstruct2nii rasterises it (PyPI)."""
    from importlib.util import find_spec

    require(find_spec("dcmrtstruct2nii") is not None, "the package dcmrtstruct2nii")
    subprocess.run([sys.executable, "-c", _READER, rtstruct, ct_folder, out], check=True, capture_output=True)
    return {path.stem.removeprefix("mask_"): _on_grid(path, ct) for path in out.glob("mask_*.nii")}


def _on_grid(path: Path, ct: PlanningCT) -> np.ndarray:
    """A reader may stack the slices from the other end: where a voxel lies in the patient counts."""
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(
        sitk.Resample(image, ct.image, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkNearestNeighbor)
    )


def dciodvfy_complaints(path: Path) -> list[str]:
    """Errors and warnings of dciodvfy (dicom3tools), in the wording of its two output modes."""
    beside = Path(sys.executable).with_name("dciodvfy")
    program = str(beside) if beside.exists() else require_program("dciodvfy")
    lines = []
    for mode in ([], ["-new"]):
        run = subprocess.run([program, *mode, str(path)], capture_output=True, text=True, errors="replace", check=False)
        lines += [line.strip() for line in (run.stdout + run.stderr).splitlines()]
    assert any("RTStructureSet" in line for line in lines), lines
    return [line for line in lines if "Error" in line or "Warning" in line]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
