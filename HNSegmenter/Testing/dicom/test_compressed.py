"""Every transfer syntax that a PACS sends gives the same voxels as the uncompressed original."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.dicom.pixels import LOSSY
from HNSegmenterLib.errors import UnusableInput
from Testing.machine import require_program
from Testing.phantoms import DCMTK, compress, compress_jpeg2000, head_phantom, save, write_ct_series

SPACING = (5.0, 5.0, 4.0)
NOISE = np.random.default_rng(7).integers(-20, 20, (24, 48, 56), np.int16)
HEAD = head_phantom((24, 48, 56), SPACING) + NOISE
SYNTAXES = {
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-lossless-sv-any": "1.2.840.10008.1.2.4.57",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "rle": "1.2.840.10008.1.2.5",
    "deflated": "1.2.840.10008.1.2.1.99",
    "implicit": "1.2.840.10008.1.2",
    "big-endian": "1.2.840.10008.1.2.2",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
}
STORED = {  # how the pixels are stored -> variations of write_ct_series
    "unsigned": {},
    "signed": {"signed": True, "intercept": 0},
    "12 bit": {"tags": {"BitsStored": 12, "HighBit": 11}},
    "12 bit signed": {"signed": True, "intercept": 0, "tags": {"BitsStored": 12, "HighBit": 11}},
    "half units": {"slope": 0.5, "intercept": -1100.5},
}


def recode(files: list[Path], kind: str) -> None:
    if kind == "jpeg2000":
        compress_jpeg2000(files)
    else:
        require_program(DCMTK[kind][0])
        compress(files, kind)
    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in files} == {SYNTAXES[kind]}


def voxels(folder: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_planning_ct(folder).image)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", SYNTAXES)
def test_voxel_for_voxel(tmp_path, kind, stored):
    hu = np.maximum(HEAD, -1024)
    files = write_ct_series(tmp_path, hu, SPACING, **STORED[stored])
    original = voxels(tmp_path)
    assert np.array_equal(original, hu)
    recode(files[8:13], kind)
    assert np.array_equal(voxels(tmp_path), original)


def test_series_of_several_syntaxes_and_rescales(tmp_path):
    hu = np.maximum(HEAD, -1024)
    own = {k: {"intercept": -1024.0 - k} for k in range(24)}
    files = write_ct_series(tmp_path, hu, SPACING, overrides=own)
    for n, kind in enumerate(SYNTAXES):
        recode(files[3 * n : 3 * n + 3], kind)
    assert np.array_equal(voxels(tmp_path), hu)


def test_padding_in_a_compressed_series_is_air(tmp_path):
    hu = HEAD.copy()
    hu[:, :5] = 5000
    recode(write_ct_series(tmp_path, hu, SPACING, tags={"PixelPaddingValue": 6024}), "jpeg-lossless")
    assert (voxels(tmp_path)[:, :5] == -1024).all()


@pytest.mark.parametrize(
    "encoder", [["dcmcjpeg", "+ee", "+q", "98"], ["dcmcjpls", "+en", "+md", "3"]], ids=["JPEG extended", "JPEG-LS"]
)
def test_lossy_compression_is_read_with_a_warning(tmp_path, encoder):
    require_program(encoder[0])
    hu = np.maximum(HEAD, -1024)
    files = write_ct_series(tmp_path, hu, SPACING, tags={"BitsStored": 12, "HighBit": 11})
    for path in files[:4]:
        subprocess.run([*encoder, str(path), str(path)], check=True, capture_output=True)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID in LOSSY
    ct = read_planning_ct(tmp_path)
    error = np.abs(sitk.GetArrayFromImage(ct.image).astype(int) - hu)
    assert error[:4].max() > 0 and np.mean(error[:4]) < 30 and not error[4:].any()
    assert "compressed with loss" in ct.warnings[0]


def test_jpeg2000_that_may_be_lossy(tmp_path):
    files = write_ct_series(tmp_path, np.maximum(HEAD, -1024), SPACING)
    compress_jpeg2000(files[:4])
    for path in files[:4]:
        save(pydicom.dcmread(path), path, JPEG2000)
    ct = read_planning_ct(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(ct.image), np.maximum(HEAD, -1024))
    assert "compressed with loss" in ct.warnings[0]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("meta", [True, False])
def test_files_without_preamble(tmp_path, syntax, meta):
    for path in write_ct_series(tmp_path, np.maximum(HEAD, -1024), SPACING, transfer_syntax=syntax):
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")  # of the meta header, after its group length element
        path.write_bytes(data[128 + 4 :] if meta else data[144 + length :])
    assert np.array_equal(voxels(tmp_path), np.maximum(HEAD, -1024))


def test_file_names_that_are_no_unicode(tmp_path):
    files = write_ct_series(tmp_path, np.maximum(HEAD, -1024), SPACING)
    odd = tmp_path / b"Mu\xf1oz.dcm".decode("utf-8", "surrogateescape")
    shutil.move(files[0], odd)
    shutil.move(files[1], tmp_path / "患者 1.dcm")
    recode([tmp_path / "患者 1.dcm"], "jpeg-lossless")
    assert np.array_equal(voxels(tmp_path), np.maximum(HEAD, -1024))
    recode([odd], "jpeg-lossless")
    with pytest.raises(UnusableInput, match=r"Mu.oz.dcm is not a Unicode name") as refusal:
        voxels(tmp_path)
    refusal.value.sentence.encode()


def test_extra_bytes_after_the_pixels(tmp_path):
    for path in write_ct_series(tmp_path, np.maximum(HEAD, -1024), SPACING):
        dataset = pydicom.dcmread(path)
        dataset.PixelData += bytes(2)
        save(dataset, path)
    assert np.array_equal(voxels(tmp_path), np.maximum(HEAD, -1024))
