"""The sample patient as DICOM: read back, valid, and the same files every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import HNSegmenterError, WrongUsage
from HNSegmenterLib.sample import PATIENT_ID, PATIENT_NAME, sample_volume, write_dicom
from Testing.machine import require_program


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return write_dicom(tmp_path_factory.mktemp("sample") / "ct")


def test_read_back_as_it_was_made(series):
    ct = read_planning_ct(series)
    made, _ = sample_volume()
    assert not ct.warnings and not ct.resampled
    assert ct.image.GetSpacing() == pytest.approx(made.GetSpacing())
    assert ct.image.GetOrigin() == pytest.approx(made.GetOrigin())
    assert np.array_equal(sitk.GetArrayViewFromImage(ct.image), sitk.GetArrayViewFromImage(made))


def test_says_that_it_is_nobody(series):
    header = pydicom.dcmread(series / "CT0001.dcm", stop_before_pixels=True)
    assert (str(header.PatientName), header.PatientID) == (PATIENT_NAME, PATIENT_ID)
    assert "no real person" in header.ImageComments and "no real person" in header.PatientComments
    assert header.PatientIdentityRemoved == "YES"


def test_valid_dicom(series):
    beside = Path(sys.executable).with_name("dciodvfy")
    program = str(beside) if beside.exists() else require_program("dciodvfy")
    for name in ("CT0001.dcm", "CT0136.dcm"):
        run = subprocess.run([program, str(series / name)], capture_output=True, text=True, check=False)
        lines = (run.stdout + run.stderr).splitlines()
        assert "CTImage" in lines, lines
        assert [line for line in lines if line.startswith(("Error", "Warning"))] == []


def test_files_are_the_same_every_time(series, tmp_path):
    again = write_dicom(tmp_path / "ct")
    names = sorted(path.name for path in series.iterdir())
    assert len(names) == 136 and names == sorted(path.name for path in again.iterdir())
    assert all((series / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_another_seed_is_another_series(series, tmp_path):
    other = write_dicom(tmp_path / "ct", seed=1)
    a, b = (pydicom.dcmread(folder / "CT0050.dcm") for folder in (series, other))
    for uid in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert a[uid].value != b[uid].value
    assert a.PixelData != b.PixelData


def test_an_empty_folder_is_filled_and_a_full_one_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(WrongUsage, match="is not empty"):
        write_dicom(tmp_path / "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "notes.txt"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WrongUsage, match="is not empty"):
        write_dicom(tmp_path / "file")


def test_nothing_is_left_of_a_series_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HNSegmenterError, match="could not be written"):
        write_dicom(tmp_path / "file" / "ct")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
