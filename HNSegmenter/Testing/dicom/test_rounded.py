"""Positions rounded to whole or half mm are read as the even stack they were;
slices that are missing are still missed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.rtstruct import agreement, write_rtstruct
from Testing.phantoms import head_phantom, write_ct_series
from Testing.rtstruct.help import head_organs, result

PIXEL, COUNT = 5.0, 60
UP = (1, 0, 0, 0, 1, 0)


def nearest(z, unit=1.0):
    return np.floor(np.asarray(z) / unit + 0.5) * unit


def ct(folder: Path, z, thickness=None, drop=(), orientation=UP, **tags) -> list[Path]:
    """A series at these heights (mm); thickness: None is not said; drop: slices that are lost."""
    z = np.asarray(z, float)
    locations = tags.pop("locations", None)
    own = {} if locations is None else {k: {"SliceLocation": f"{value:.3f}"} for k, value in enumerate(locations)}
    tags["SliceThickness"] = None if thickness is None else f"{thickness:g}"
    volume = head_phantom((len(z), 40, 40), (PIXEL, PIXEL, float(np.diff(z).mean())))
    positions = np.column_stack([np.full(len(z), -97.5), np.full(len(z), -97.66), z])
    files = write_ct_series(
        folder, volume, (PIXEL, PIXEL, 1.0), positions=positions, orientation=orientation, tags=tags, overrides=own
    )
    for k in drop:
        files[k].unlink()
    return files


def true(step: float, start: float = -70.3, count: int = COUNT) -> np.ndarray:
    return start + step * np.arange(count)


EVEN = {
    "2.5 mm": (nearest(true(2.5, -70)), 2.5, 1.0, {"thickness": 2.5}),
    "2.5 mm, nothing said": (nearest(true(2.5)), 2.5, 1.0, {}),
    "2.5 mm, to the even number": (np.rint(true(2.5, -70)), 2.5, 1.0, {}),
    "2.5 mm, cut off": (np.trunc(true(2.5)), 2.5, 1.0, {"thickness": 2.5}),
    "3.27 mm": (nearest(true(3.27)), 3.27, 1.0, {}),
    "4.8 mm": (nearest(true(4.8)), 4.8, 1.0, {"thickness": 5}),
    "1.25 mm by the thickness": (nearest(true(1.25)), 1.25, 1.0, {"thickness": 1.25}),
    "1.25 mm, cut off": (np.trunc(true(1.25, -70)), 1.25, 1.0, {"thickness": 1.25}),
    "1.25 mm by the distance": (nearest(true(1.25)), 1.25, 1.0, {"thickness": 2.5, "SpacingBetweenSlices": "1.25"}),
    "1.25 mm by the location": (nearest(true(1.25)), 1.25, 1.0, {"locations": true(1.25)}),
    "1.25 mm to half mm": (nearest(true(1.25), 0.5), 1.25, 0.5, {}),
    "0.75 mm to half mm": (nearest(true(0.75, count=100), 0.5), 0.75, 0.5, {"thickness": 0.75}),
    "location rounded along": (nearest(true(2.5)), 2.5, 1.0, {"locations": nearest(true(2.5)) + 0.3}),
}


@pytest.mark.parametrize("orientation", [UP, (1, 0, 0, 0, -1, 0)], ids=["upwards", "downwards"])
@pytest.mark.parametrize(("z", "step", "unit", "said"), EVEN.values(), ids=EVEN)
def test_rounded_positions_are_an_even_stack(tmp_path, z, step, unit, said, orientation):
    files = ct(tmp_path, z, orientation=orientation, **said)
    found = read_planning_ct(tmp_path)
    assert not found.resampled and found.image.GetSpacing()[2] == pytest.approx(step, abs=0.01)
    name = {1.0: "whole", 0.5: "half"}[unit]
    assert [
        f"positions of series {found.series_uid} are rounded to {name} mm" in warning for warning in found.warnings
    ] == [True]
    up = orientation == UP
    assert [slice_.path for slice_ in found.slices] == (files if up else files[::-1])
    assert [slice_.position[2] for slice_ in found.slices] == list(z if up else z[::-1]), "where the files say"
    size = found.image.GetSize()
    shown = [found.image.TransformIndexToPhysicalPoint((0, 0, k))[2] for k in range(size[2])]
    assert size[2] == len(z) and np.abs(np.array(shown) - (z if up else z[::-1])).max() <= unit + 1e-3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.image)[0], pixels(found.slices[0].path))


def pixels(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).astype(int) - 1024


def test_tilted_slices_on_a_table_that_moved_by_rounded_steps(tmp_path):
    angle = np.radians(15)
    z = nearest(true(2.5))
    ct(tmp_path, z, orientation=(1, 0, 0, 0, np.cos(angle), np.sin(angle)))
    found = read_planning_ct(tmp_path)
    assert found.tilted and found.image.GetSpacing()[2] == pytest.approx(2.5 * np.cos(angle), abs=0.001)
    assert [slice_.position[2] for slice_ in found.slices] == list(z)


def test_contours_lie_in_the_planes_that_the_files_say(tmp_path):
    z = nearest(true(2.5))
    ct(tmp_path / "ct", z, thickness=2.5)
    found = read_planning_ct(tmp_path / "ct")
    organs = head_organs(found)
    write_rtstruct(found, organs, result(), tmp_path / "rtstruct.dcm")
    dataset = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    assert set(agreement(dataset, found, organs).values()) == {1.0}
    at = {slice_.sop_instance_uid: slice_.position[2] for slice_ in found.slices}
    contours = [contour for item in dataset.ROIContourSequence for contour in item.ContourSequence]
    assert len(contours) > 50
    for contour in contours:
        heights = {float(value) for value in contour.ContourData[2::3]}
        assert heights == {at[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]}


MISSING = {
    "one of 2.5 mm": (
        nearest(true(2.5)),
        {"thickness": 2.5, "drop": [30]},
        "1 slice is missing .*usual distance 2.50 mm",
    ),
    "one of 2.5 mm, nothing said": (nearest(true(2.5)), {"drop": [31]}, "1 slice is missing .*usual distance 2.50 mm"),
    "two together, and one": (
        nearest(true(2.5)),
        {"drop": [20, 21, 41]},
        "3 slices are missing .*usual distance 2.50 mm",
    ),
    "one of 1.25 mm": (
        nearest(true(1.25)),
        {"thickness": 1.25, "drop": [30]},
        "1 slice is missing .*usual distance 1.25 mm",
    ),
    "one of 1.25 mm, by the numbers": (
        nearest(true(1.25)),
        {"drop": [32]},
        "1 slice is missing .*usual distance 1.25 mm",
    ),
    "one of 3.27 mm": (nearest(true(3.27)), {"drop": [30]}, "1 slice is missing .*usual distance 3.27 mm"),
    "every fourth of 1 mm": (true(1.0, 0, 80), {"thickness": 1, "drop": range(3, 80, 4)}, "19 slices are missing"),
    "every fourth of 1 mm, nothing said": (true(1.0, 0, 80), {"drop": range(3, 80, 4)}, "19 slices are missing"),
    "one of 1 mm": (true(1.0, 0, 80), {"drop": [40]}, "1 slice is missing .*usual distance 1.00 mm"),
    "every third of 2.5 mm, exact": (true(2.5), {"thickness": 2.5, "drop": range(2, 59, 3)}, "19 slices are missing"),
    "every third of 2.5 mm": (nearest(true(2.5)), {"thickness": 2.5, "drop": range(2, 59, 3)}, "19 slices are missing"),
}


@pytest.mark.parametrize(("z", "said", "sentence"), MISSING.values(), ids=MISSING)
def test_missing_slices_are_counted_as_if_nothing_was_rounded(tmp_path, z, said, sentence):
    ct(tmp_path, z, **said)
    with pytest.raises(UnusableInput, match=sentence):
        read_planning_ct(tmp_path)


def test_numbered_anew_missing_slices_are_found_by_the_distance(tmp_path):
    kept = [k for k in range(COUNT) if k != 30]
    ct(tmp_path, nearest(true(2.5))[kept], thickness=2.5)
    with pytest.raises(UnusableInput, match="1 slice is missing"):
        read_planning_ct(tmp_path)


def test_where_nothing_tells_both_reasons_are_given(tmp_path):
    """Steps of 1 and 2 mm, numbered without a gap."""
    ct(tmp_path, nearest(true(1.25)))
    with pytest.raises(
        UnusableInput,
        match=r"lie at whole mm, 1 or 2 mm apart: either their positions were rounded or 1[45] slices are missing",
    ):
        read_planning_ct(tmp_path)


def test_slices_nearer_than_the_rounding_share_a_position(tmp_path):
    ct(tmp_path, nearest(true(0.625, count=120)), thickness=0.625)
    with pytest.raises(
        UnusableInput, match="nearer to each other than 1 mm, and their positions are rounded to whole mm"
    ):
        read_planning_ct(tmp_path)


def test_what_was_cut_off_towards_0_may_share_it(tmp_path):
    """-0.3 and 0.95 mm."""
    ct(tmp_path, np.trunc(true(1.25)), thickness=1.25)
    with pytest.raises(UnusableInput, match=r"two different images at z = -?0.0 mm"):
        read_planning_ct(tmp_path)


def test_two_regions_in_whole_mm_are_uneven_or_missing_as_before(tmp_path):
    """Rounding explains 2, 3, 2, 3 mm, but not 5 mm: there the thickness decides."""
    z = nearest(np.cumsum([0, *[2.5] * 24, *[5.0] * 12]))
    thickness = {k: {"SliceThickness": "2.5" if k <= 24 else "5"} for k in range(len(z))}
    volume = head_phantom((len(z), 40, 40), (PIXEL, PIXEL, 3.0))
    write_ct_series(
        tmp_path / "thick",
        volume,
        (PIXEL, PIXEL, 2.5),
        positions=np.column_stack([0 * z, 0 * z, z]),
        overrides=thickness,
    )
    assert "unevenly spaced (2.00 to 5.00 mm)" in read_planning_ct(tmp_path / "thick").warnings[0]
    ct(tmp_path / "thin", z, thickness=2.5)
    with pytest.raises(UnusableInput, match=r"1[12] slices are missing"):
        read_planning_ct(tmp_path / "thin")
