"""Contours back to masks: by hand, against the labelmap they were traced from, and against other programs."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.evaluation.rasterise import read_contours
from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.rtstruct.readback import fill_ring
from Testing.rtstruct.help import dcmrtstruct2nii_masks, head_organs, labelmap, make_ct, plastimatch_masks, result

SQUARE = np.array([[1.5, 0.5], [4.5, 0.5], [4.5, 2.5], [1.5, 2.5]])


def test_a_square_by_hand():
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(fill_ring(SQUARE, (4, 6)), expected)
    assert np.array_equal(fill_ring(SQUARE[::-1], (4, 6)), expected), "the direction of the points does not matter"


def test_a_polygon_that_leaves_the_image_is_cut_there():
    everywhere = np.array([[-9.0, -9.0], [99.0, -9.0], [99.0, 99.0], [-9.0, 99.0]])
    assert fill_ring(everywhere, (4, 6)).all()
    assert not fill_ring(everywhere + 200, (4, 6)).any()


def test_a_slanted_edge_takes_the_centres_on_its_inner_side():
    triangle = np.array([[-0.5, -0.5], [5.5, -0.5], [-0.5, 5.5]])
    i, j = np.meshgrid(np.arange(6), np.arange(6))
    assert np.array_equal(fill_ring(triangle, (6, 6)), i + j < 5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A CT with an RTSTRUCT of plain organs, one of them with a hole and an island."""
    folder = tmp_path_factory.mktemp("drawn")
    ct = make_ct(folder / "ct")
    labelmaps = head_organs(ct)
    mask = np.zeros(labelmaps["Brainstem"].GetSize()[::-1], bool)
    mask[8:14, 24:40, 24:40] = True
    mask[9:12, 30:33, 30:35] = False
    mask[10, 45, 45] = True
    labelmaps["Brainstem"] = labelmap(ct, mask)
    write_rtstruct(ct, labelmaps, result(), folder / "rtstruct.dcm")
    return ct, labelmaps, folder


def test_our_contours_give_the_labelmap_back_voxel_by_voxel(drawn):
    from SimpleITK import GetArrayViewFromImage as voxels

    ct, labelmaps, folder = drawn
    masks = read_contours(folder / "rtstruct.dcm", ct.image)
    assert masks.keys() == labelmaps.keys()
    for name, mask in masks.items():
        assert np.array_equal(mask, voxels(labelmaps[name]) != 0), name


@pytest.mark.parametrize("other", [plastimatch_masks, dcmrtstruct2nii_masks])
def test_other_programs_read_the_same(drawn, other, tmp_path):
    ct, _, folder = drawn
    theirs = other(folder / "rtstruct.dcm", folder / "ct", ct, tmp_path)
    for name, mask in read_contours(folder / "rtstruct.dcm", ct.image).items():
        common = np.count_nonzero(mask & (theirs[name] > 0))
        assert 2 * common / (np.count_nonzero(mask) + np.count_nonzero(theirs[name])) >= 0.99, name


def test_a_grid_stored_from_the_other_end_reads_the_same_places(drawn):
    ct, _, folder = drawn
    masks = read_contours(folder / "rtstruct.dcm", ct.image)
    for name, mask in read_contours(folder / "rtstruct.dcm", ct.image[::-1, :, ::-1]).items():
        assert np.array_equal(mask[::-1, :, ::-1], masks[name]), name


def test_what_cannot_be_read_gets_a_sentence(drawn, tmp_path):
    ct, _, folder = drawn
    (tmp_path / "rtstruct.dcm").write_text("no DICOM")
    with pytest.raises(UnusableInput, match="no readable RTSTRUCT"):
        read_contours(tmp_path / "rtstruct.dcm", ct.image)
    with pytest.raises(UnusableInput, match="no readable RTSTRUCT"):
        read_contours(next((folder / "ct").iterdir()), ct.image)
    with pytest.raises(UnusableInput, match="in none of its slices"):
        read_contours(folder / "rtstruct.dcm", ct.image[:, :, :4])
    broken = pydicom.dcmread(folder / "rtstruct.dcm")
    del broken.ROIContourSequence[0].ContourSequence[0].ContourData
    broken.save_as(tmp_path / "broken.dcm")
    with pytest.raises(UnusableInput, match="without points"):
        read_contours(tmp_path / "broken.dcm", ct.image)
