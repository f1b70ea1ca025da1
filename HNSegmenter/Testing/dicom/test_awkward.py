"""Merely awkward CT series are read right: values, sides and places, with a warning where the user should know."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import PlanningCT, read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from Testing.phantoms import AXIAL, edit, head_phantom, slice_positions, write_ct_series

SPACING = (4.0, 4.0, 3.0)
HEAD = head_phantom((40, 56, 48), SPACING)
ORIGIN = (-94.0, -110.0, -58.5)
HFS, HFP = (1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0)
FFS, FFP = (-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0)
DECUBITUS = (0, -1, 0, 1, 0, 0)


def patient() -> sitk.Image:
    image = sitk.GetImageFromArray(HEAD)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    return image


def plane(position, orientation, size=(48, 56), spacing=SPACING) -> np.ndarray:
    """The patient's HU in one slice plane (rows, columns)."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    direction = np.column_stack([row, column, np.cross(row, column)])
    grid = sitk.Image([*size, 1], sitk.sitkInt16)
    grid.SetSpacing(spacing)
    grid.SetOrigin([float(value) for value in position])
    grid.SetDirection(direction.ravel())
    return sitk.GetArrayFromImage(sitk.Resample(patient(), grid, sitk.Transform(), sitk.sitkLinear, -1000))[0]


def scan(folder: Path, positions: np.ndarray, orientation=AXIAL, **variations) -> list[Path]:
    """The patient scanned in these planes."""
    volume = np.stack([plane(position, orientation) for position in positions])
    return write_ct_series(folder, volume, SPACING, orientation=orientation, positions=positions, **variations)


def array(ct: PlanningCT) -> np.ndarray:
    return sitk.GetArrayFromImage(ct.image)


def bone_centre(image: sitk.Image) -> np.ndarray:
    """Where (mm LPS) the voxels over 470 HU, half-way up from soft tissue to the bone marker, have their centre."""
    k, j, i = np.nonzero(sitk.GetArrayFromImage(image) > 470)
    return np.array(image.TransformContinuousIndexToPhysicalPoint([i.mean(), j.mean(), k.mean()]))


def assert_same_patient(ct: PlanningCT, tolerance_mm: float) -> None:
    """The bone marker (left), the fat marker (front) and the soft tissue with
    its gradient are where the patient's are."""
    assert np.abs(bone_centre(ct.image) - bone_centre(patient())).max() < tolerance_mm
    back = sitk.GetArrayFromImage(sitk.Resample(ct.image, patient(), sitk.Transform(), sitk.sitkLinear, -2000)).astype(
        int
    )
    seen = back > -2000
    for kind in (HEAD == 900, HEAD == -90, (HEAD > 0) & (HEAD < 100)):
        inside = sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(kind.astype(np.uint8)), (1, 1, 1))) > 0
        assert np.mean(seen[inside]) > 0.7
        error = np.abs(back - HEAD)[inside & seen]
        assert np.median(error) <= 1 and np.mean(error < 60) > 0.8


def assert_regular(ct: PlanningCT) -> None:
    direction = np.array(ct.image.GetDirection()).reshape(3, 3)
    assert np.allclose(direction @ direction.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(direction) == pytest.approx(1)
    assert ct.image.GetPixelID() == sitk.sitkInt16


def test_clean_series_passes_as_it_is(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN)
    ct = read_planning_ct(tmp_path)
    assert np.array_equal(array(ct), HEAD)
    assert ct.image.GetSpacing() == SPACING and ct.image.GetOrigin() == ORIGIN
    assert not (ct.warnings or ct.resampled or ct.oblique or ct.tilted)
    first = pydicom.dcmread(files[0])
    assert [piece.path for piece in ct.slices] == files
    assert ct.slices[0].sop_instance_uid == first.SOPInstanceUID and ct.slices[0].position == ORIGIN
    assert (ct.slices[0].row_cosines, ct.slices[0].column_cosines) == ((1, 0, 0), (0, 1, 0))
    assert (ct.slices[0].rows, ct.slices[0].columns) == (56, 48)
    assert (ct.series_uid, ct.study_uid) == (first.SeriesInstanceUID, first.StudyInstanceUID)
    assert ct.frame_of_reference_uid == first.FrameOfReferenceUID
    assert "PixelData" not in ct.header and ct.header.PatientID == "TEST-0001"


@pytest.mark.parametrize("orientation", [HFS, HFP, FFS, FFP, DECUBITUS], ids=["HFS", "HFP", "FFS", "FFP", "decubitus"])
def test_every_patient_position_keeps_left_left(tmp_path, orientation):
    size = (56, 48) if orientation == DECUBITUS else (48, 56)
    grid = sitk.DICOMOrient(patient(), {HFS: "LPS", HFP: "RAS", FFS: "RPI", FFP: "LAI", DECUBITUS: "ALS"}[orientation])
    assert grid.GetSize()[:2] == size
    origin, spacing = grid.GetOrigin(), grid.GetSpacing()
    write_ct_series(tmp_path, sitk.GetArrayFromImage(grid), spacing, origin, orientation)
    ct = read_planning_ct(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.DICOMOrient(ct.image, "LPS")), HEAD)
    assert not ct.resampled and not ct.oblique
    assert_regular(ct)
    assert_same_patient(ct, 1e-6)


def test_oblique_series_keeps_its_grid_and_warns(tmp_path):
    a, b = math.radians(12), math.radians(-8)
    row = (math.cos(b), math.sin(b), 0)
    column = (-math.sin(b) * math.cos(a), math.cos(b) * math.cos(a), math.sin(a))
    orientation = (*row, *column)
    origin = np.array(ORIGIN) - (0, 0, 20)
    scan(tmp_path, slice_positions(48, SPACING[2], origin, orientation), orientation)
    ct = read_planning_ct(tmp_path)
    assert ct.oblique and not ct.tilted and not ct.resampled
    assert [("oblique" in warning) for warning in ct.warnings] == [True]
    assert_regular(ct)
    assert_same_patient(ct, 1.0)


@pytest.mark.parametrize("degrees", [15, -20])
def test_gantry_tilt_is_straightened(tmp_path, degrees):
    angle = math.radians(degrees)
    orientation = (1, 0, 0, 0, math.cos(angle), math.sin(angle))
    start = np.array(ORIGIN) - (0, 0, 55 if degrees > 0 else -20)
    positions = start + np.arange(50)[:, None] * [0, 0, 3.0]  # the table moves along z, not along the normal
    files = scan(tmp_path, positions, orientation, tags={"GantryDetectorTilt": degrees})
    ct = read_planning_ct(tmp_path)
    assert ct.tilted and ct.oblique and ct.resampled
    assert any(f"tilted gantry ({abs(degrees)}.0 degrees)" in warning for warning in ct.warnings)
    assert ct.image.GetSpacing()[2] == pytest.approx(3 * math.cos(angle))
    assert_regular(ct)
    assert_same_patient(ct, 1.0)
    assert [piece.path for piece in ct.slices] == files
    assert np.allclose([piece.position for piece in ct.slices], positions, atol=1e-5)


@pytest.mark.parametrize("shear", [(1.3, -0.7, 0), (-0.45, 1.1, 0)])
def test_straightening_is_exact_where_values_change_evenly(tmp_path, shear):
    """Linear interpolation of a linear function of x, y, z has no error but rounding, at any fraction of a pixel."""
    spacing = (2.0, 3.0, 4.0)
    positions = slice_positions(30, spacing[2], (-50, -60, -58), shear=shear)
    x = positions[:, 0, None, None] + np.arange(50) * spacing[0]
    y = positions[:, 1, None, None] + np.arange(40)[:, None] * spacing[1]
    z = positions[:, 2, None, None]
    write_ct_series(tmp_path, 5 * x + 4 * y + 2 * z, spacing, positions=positions)
    ct = read_planning_ct(tmp_path)
    assert ct.tilted and not ct.oblique
    values = array(ct)
    k, j, i = np.indices(values.shape)
    at = [ct.image.GetOrigin()[axis] + index * spacing[axis] for axis, index in enumerate((i, j, k))]
    expected = 5 * at[0] + 4 * at[1] + 2 * at[2]
    margin = [
        (at[axis] > positions[k, axis] + 2 * spacing[axis]) & (at[axis] < positions[k, axis] + (n - 2) * spacing[axis])
        for axis, n in ((0, 50), (1, 40))
    ]
    inside = margin[0] & margin[1]
    assert inside.sum() > 30 * 45 * 35
    assert np.abs(values - expected)[inside].max() <= 1


def test_slices_shifted_sideways_are_used_where_they_lie(tmp_path):
    positions = slice_positions(40, SPACING[2], ORIGIN)
    positions[20:, 0] += 10.0
    scan(tmp_path, positions)
    ct = read_planning_ct(tmp_path)
    assert ct.resampled and not ct.tilted and "shifted sideways" in ct.warnings[0]
    assert_same_patient(ct, 1.0)


def test_uneven_spacing_is_resampled_and_the_slices_stay(tmp_path):
    z = np.cumsum([0, *[2.0] * 30, *[5.0] * 11])
    positions = np.array(ORIGIN) + np.outer(z, [0, 0, 1])
    scan(tmp_path, positions)
    ct = read_planning_ct(tmp_path)
    assert ct.resampled and not ct.tilted and len(ct.slices) == 42
    assert "unevenly spaced (2.00 to 5.00 mm)" in ct.warnings[0]
    assert (ct.image.GetSize()[2] - 1) * ct.image.GetSpacing()[2] == pytest.approx(z[-1])
    assert_regular(ct)
    assert_same_patient(ct, 1.0)


@pytest.mark.parametrize("thick", [True, False])
def test_twice_the_distance_needs_thicker_slices(tmp_path, thick):
    z = np.cumsum([0, *[2.0] * 20, *[4.0] * 15])
    overrides = {k: {"SliceThickness": "4" if thick and k > 20 else "2"} for k in range(len(z))}
    scan(tmp_path, np.array(ORIGIN) + np.outer(z, [0, 0, 1]), overrides=overrides)
    if thick:
        assert read_planning_ct(tmp_path).resampled
    else:
        with pytest.raises(UnusableInput, match="15 slices are missing"):
            read_planning_ct(tmp_path)


def test_positions_rounded_to_a_tenth_are_even(tmp_path):
    z = np.round(np.arange(80) * 1.25, 1)
    scan(tmp_path, np.array(ORIGIN) + np.outer(z, [0, 0, 1]))
    ct = read_planning_ct(tmp_path)
    assert not ct.resampled and not ct.warnings
    assert ct.image.GetSpacing()[2] == pytest.approx(1.25, abs=0.002)


def test_copied_slices_are_left_out(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN)
    (tmp_path / "again").mkdir()
    for path in files[3:10]:
        (tmp_path / "again" / path.name).write_bytes(path.read_bytes())
    ct = read_planning_ct(tmp_path)
    assert np.array_equal(array(ct), HEAD)
    assert len({piece.sop_instance_uid for piece in ct.slices}) == len(ct.slices) == 40
    assert ct.warnings == ["7 slices are in the series twice; the copies, with equal pixels, were left out."]


def test_order_of_files_and_instance_numbers_does_not_matter(tmp_path):
    numbers = np.random.default_rng(0).permutation(40)
    files = write_ct_series(
        tmp_path, HEAD, SPACING, ORIGIN, overrides={k: {"InstanceNumber": int(n)} for k, n in enumerate(numbers)}
    )
    for path, n in zip(files, numbers):
        path.rename(tmp_path / f"x{n:03d}")
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)


@pytest.mark.parametrize("signed", [False, True])
def test_rescale_of_each_slice_and_sign(tmp_path, signed):
    own = {k: {"slope": 1 + k / 8, "intercept": -1024.0 - k / 4} for k in range(40)}
    write_ct_series(tmp_path, HEAD, SPACING, ORIGIN, signed=signed, overrides=own)
    assert np.abs(array(read_planning_ct(tmp_path)).astype(int) - HEAD).max() <= 1 + 40 / 8 / 2


def test_slope_one_and_signed_are_exact(tmp_path):
    write_ct_series(tmp_path, HEAD, SPACING, ORIGIN, signed=True, intercept=0)
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)


@pytest.mark.parametrize(("vr", "stored"), [("US", 65000), ("SS", -536)], ids=["unsigned", "written signed"])
def test_padding_outside_the_scan_is_air(tmp_path, vr, stored):
    hu = HEAD.astype(np.int32)
    hu[:, :5] = 65000 - 1024
    for path in write_ct_series(tmp_path, hu, SPACING, ORIGIN):
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", vr, stored)
        dataset.save_as(str(path))
    values = array(read_planning_ct(tmp_path))
    assert (values[:, :5] == -1024).all() and np.array_equal(values[:, 5:], hu[:, 5:])


def test_values_below_air_are_air(tmp_path):
    hu = HEAD.copy()
    hu[:, :5] = -2000
    write_ct_series(tmp_path, hu, SPACING, ORIGIN, signed=True, intercept=0)
    assert np.array_equal(array(read_planning_ct(tmp_path)), np.maximum(hu, -1024))


def test_high_padding_is_air_and_padding_like_tissue_is_not(tmp_path):
    hu = HEAD.copy()
    hu[:, :5] = 5000
    write_ct_series(tmp_path / "high", hu, SPACING, ORIGIN, tags={"PixelPaddingValue": 6024})
    assert (array(read_planning_ct(tmp_path / "high"))[:, :5] == -1024).all()
    write_ct_series(tmp_path / "tissue", HEAD, SPACING, ORIGIN, tags={"PixelPaddingValue": 1064})
    assert np.array_equal(array(read_planning_ct(tmp_path / "tissue")), HEAD)


@pytest.mark.parametrize("signed", [False, True])
def test_overlay_bits_above_12_are_not_values(tmp_path, signed):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN, signed=signed, intercept=0 if signed else -1024)
    for path in files:
        dataset = pydicom.dcmread(path)
        pixels = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
        pixels[::3] |= 0x5000
        dataset.PixelData = pixels.tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.save_as(str(path))
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)


def test_pixels_in_the_upper_bits(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") << 4 | 0x5).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 15
        dataset.save_as(str(path))
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)


def test_acquisitions_one_after_another_are_one_scan(tmp_path):
    own = {k: {"AcquisitionNumber": 1 + k // 20} for k in range(40)}
    write_ct_series(tmp_path, HEAD, SPACING, ORIGIN, overrides=own)
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)


def test_localizers_filed_with_the_slices_are_left_out(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN)
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    scout = {"SeriesInstanceUID": uid, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_ct_series(tmp_path, HEAD[:2], SPACING, orientation=(1, 0, 0, 0, 0, -1), tags=scout, prefix="SC")
    ct = read_planning_ct(tmp_path)
    assert np.array_equal(array(ct), HEAD)
    assert ct.warnings == [f"Left out of series {uid}: 2 localizer images."]


def test_pixels_need_not_be_square(tmp_path):
    write_ct_series(tmp_path, HEAD, (3.0, 5.0, 3.0), ORIGIN)
    ct = read_planning_ct(tmp_path)
    assert ct.image.GetSpacing() == (3, 5, 3)
    assert (ct.slices[0].column_spacing, ct.slices[0].row_spacing) == (3, 5)


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "TEST^Muñoz"), ("ISO_IR 192", "TEST^Muñoz"), (["", "ISO 2022 IR 87"], "TEST^Yamada=山田^太郎")],
)
def test_header_carries_the_character_set(tmp_path, charset, name):
    write_ct_series(
        tmp_path, HEAD, SPACING, ORIGIN, patient={"PatientName": name}, tags={"SpecificCharacterSet": charset}
    )
    header = read_planning_ct(tmp_path).header
    assert str(header.PatientName) == name
    assert header.SpecificCharacterSet == charset


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"SliceThickness": "1.5"}, "3.00 mm apart but 1.50 mm thick"),
        ({"GantryDetectorTilt": "12"}, "slices stand straight"),
    ],
    ids=["lossy", "thin", "tilt corrected"],
)
def test_warnings_name_the_series_by_uid(tmp_path, tags, said):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN, tags=tags)
    events = []
    ct = read_planning_ct(tmp_path, emit=events.append)
    assert len(ct.warnings) == 1 and said in ct.warnings[0] and ct.series_uid in ct.warnings[0]
    assert [event.message for event in events if event.kind == "warning"] == ct.warnings
    assert files[0].name not in ct.warnings[0]


def test_damaged_slice_at_the_end_is_warned_about(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING, ORIGIN)
    files[-1].write_bytes(b"")
    ct = read_planning_ct(tmp_path)
    assert len(ct.slices) == 39 and "1 file beside" in ct.warnings[0] and files[-1].name not in ct.warnings[0]


def test_rescale_type_left_unspecified(tmp_path):
    for path in write_ct_series(tmp_path, HEAD, SPACING, ORIGIN):
        edit(path, RescaleType=None)
    assert np.array_equal(array(read_planning_ct(tmp_path)), HEAD)
