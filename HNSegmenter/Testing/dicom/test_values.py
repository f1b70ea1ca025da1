"""Values that are no Hounsfield units are refused with the reason; Rescale Types that mean them pass with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.dicom.headers import Header
from HNSegmenterLib.dicom.hounsfield import check_hu
from HNSegmenterLib.errors import UnusableInput
from Testing.phantoms import edit, head_phantom, write_ct_series

SPACING = (5.0, 5.0, 4.0)
HEAD = head_phantom((24, 48, 48), SPACING)


def padded(volume: np.ndarray, value: int) -> np.ndarray:
    """As scanners leave it: void outside the circle that they reconstruct."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in volume.shape[1:])
    filled = volume.copy()
    filled[:, rows[:, None] ** 2 + columns**2 > (0.5 * volume.shape[1]) ** 2] = value
    return filled


@pytest.mark.parametrize("volume", [HEAD, padded(HEAD, -2000)], ids=["whole", "padded"])
@pytest.mark.parametrize("intercept", [-1024, -1000])
def test_hu_stored_as_they_are_and_an_intercept_left(tmp_path, volume, intercept):
    for path in write_ct_series(tmp_path, volume, SPACING, signed=True, intercept=0):
        edit(path, RescaleIntercept=intercept)
    with pytest.raises(
        UnusableInput,
        match=(
            "not those of a CT in Hounsfield units: air and soft tissue lie about 1024 too low. The Rescale Intercept "
            f"is {intercept}, and the stored values seem to be HU already"
        ),
    ):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("signed", [False, True])
def test_an_intercept_that_was_lost(tmp_path, signed):
    volume = padded(HEAD, -2000 - 1024) if signed else HEAD  # padding is -2000 as stored
    for path in write_ct_series(tmp_path, volume, SPACING, signed=signed):
        edit(path, RescaleIntercept=0)
    with pytest.raises(
        UnusableInput,
        match=r"air and soft tissue lie about 1024 too high. The Rescale Intercept is 0, and it seems to be lost",
    ):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("void", [-1024, -2000, -3024])
def test_void_corners_and_surroundings_are_no_reason(tmp_path, void):
    write_ct_series(tmp_path / "corners", padded(HEAD, void), SPACING, signed=True, intercept=0)
    cropped = np.where(HEAD > -900, HEAD, void).astype(np.int16)
    cropped[:, 20:24, 20:24] = -1000
    write_ct_series(tmp_path / "cropped", cropped, SPACING, signed=True, intercept=0)
    for name in ("corners", "cropped"):
        assert not read_planning_ct(tmp_path / name).warnings


def test_a_header_without_what_it_needs_is_refused_with_the_attribute_s_name():
    header = Header(Path("ct_007.dcm"), Dataset(), None)
    with pytest.raises(UnusableInput, match=r"^ct_007\.dcm has no usable Pixel Spacing\. Export the series again"):
        header.all_needed("PixelSpacing", 2)


@pytest.mark.parametrize("written", ["HOUNSFIELD", "Hounsfield Units", "hu", "US", "UNSPECIFIED", ""])
def test_rescale_types_that_mean_hu(tmp_path, written):
    for path in write_ct_series(tmp_path, HEAD, SPACING):
        edit(path, RescaleType=written)
    found = read_planning_ct(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.image), HEAD)
    assert found.warnings == [
        (
            f"The Rescale Type of series {found.series_uid} is {written or 'empty'} in place of HU: its values look "
            "like Hounsfield units, and were taken as such."
        )
    ]


@pytest.mark.parametrize("written", ["HU", "HU_MOD", None])
def test_hu_needs_no_word(tmp_path, written):
    for path in write_ct_series(tmp_path, HEAD, SPACING):
        edit(path, RescaleType=written)
    assert not read_planning_ct(tmp_path).warnings


@pytest.mark.parametrize("written", ["ED", "Z_EFF", "MGML", "OD", "PCT", "HU\\ED"])
def test_other_units_are_refused(tmp_path, written):
    for path in write_ct_series(tmp_path, HEAD, SPACING):
        edit(path, RescaleType=written)
    with pytest.raises(UnusableInput, match="is not in Hounsfield units but in"):
        read_planning_ct(tmp_path)


def test_an_unsaid_unit_needs_values_of_a_ct(tmp_path):
    for path in write_ct_series(tmp_path, HEAD, SPACING):
        edit(path, RescaleType="US", RescaleIntercept=0)
    with pytest.raises(UnusableInput, match="not those of a CT in Hounsfield units"):
        read_planning_ct(tmp_path)


class Slice:
    def number(self, keyword: str) -> float:
        return -1024.0


def test_real_patients_are_taken_and_their_shifted_values_are_not(real_data):
    for path in sorted((real_data / "openkbp" / "validation").glob("*/data.nii.gz"))[::3]:
        volume = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(np.int16)
        check_hu(volume, (Slice(),), "1.2")
        for shift, word in ((-1024, "low"), (1024, "high")):
            with pytest.raises(UnusableInput, match=f"too {word}"):
                check_hu(volume + np.int16(shift), (Slice(),), "1.2")
