"""Organs that a user leaves out: neither saved nor sent, said where they would be missed, and kept in the scene."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from HNSegmenterLib import scene as hn
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.scene.grid import Grid
from Testing.rtstruct.help import dciodvfy_complaints
from Testing.scene.help import add_segment, box, new_scene, rois, slicer, voxels
from Testing.scene.phantom import ct, drawn, folder, node, results, scene, volume
from Testing.scene.test_slicer_rt import plastimatch_as_slicer_rt

EYES = ["Eye_L", "Eye_R"]


@pytest.mark.parametrize("way", ["HN Segmenter", "SlicerRT"])
def test_what_is_left_out_is_not_in_the_rtstruct_which_says_so(way, node, folder, drawn, tmp_path, monkeypatch):
    if way == "SlicerRT":
        plastimatch_as_slicer_rt(monkeypatch, tmp_path / "engine")
    hn.leave_out(node, EYES)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert saved.way == way
    assert set(rois(saved.path)) == {roi.name for roi in saved.rois} == set(drawn) - set(EYES)
    said = pydicom.dcmread(saved.path).StructureSetDescription.split("\r\n")
    assert said[-2:] == [f"{name}: found, but left out." for name in EYES]
    assert dciodvfy_complaints(saved.path) == []
    assert node.GetSegmentation().GetNumberOfSegments() == len(drawn)
    assert not hn.is_edited(node)


def test_it_is_said_in_the_table_and_the_plan_and_can_be_taken_back(node):
    assert hn.left_out(node) == []
    hn.leave_out(node, EYES)
    hn.leave_out(node, ["Eye_R"], out=False)
    assert hn.left_out(node) == ["Eye_L"]
    assert [row.name for row in hn.organ_rows(node) if not row.saved] == ["Eye_L"]
    assert [roi.name for roi in hn.roi_plan(node) if not roi.saved] == ["Eye_L"]


def test_labelmaps_are_written_of_what_is_left_in(node, volume, drawn, tmp_path):
    hn.leave_out(node, EYES)
    kept = set(drawn) - set(EYES)
    files = {path.name for path in hn.save_labelmaps(node, tmp_path / "out")}
    assert files == {f"{name}.nii.gz" for name in kept} | {"segmentation.seg.nrrd"}
    reader = slicer.vtkMRMLSegmentationStorageNode()
    reader.SetFileName(str(tmp_path / "out" / "segmentation.seg.nrrd"))
    again = new_scene().AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert reader.ReadData(again)
    assert {again.GetSegmentation().GetNthSegment(n).GetName() for n in range(4)} == kept
    assert again.GetSegmentation().GetNumberOfSegments() == 4
    hn.leave_out(node, EYES, out=False)
    np.testing.assert_array_equal(voxels(hn.labelmaps(node, volume)["Eye_L"]), voxels(drawn["Eye_L"]))


def test_nothing_left_in_is_nothing_to_save(node, folder, tmp_path):
    hn.leave_out(node, [row.segment_id for row in hn.organ_rows(node)])
    for save in (
        lambda: hn.export_rtstruct(node, tmp_path, dicom_folder=folder),
        lambda: hn.save_labelmaps(node, tmp_path),
    ):
        with pytest.raises(UnusableInput, match=r"All contours of .* are left out: tick those"):
            save()
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_need_not_be_clear(node, volume, folder, tmp_path):
    """Neither what kind it is, nor that its name is another's."""
    grid = Grid.of_volume(volume)
    unclear = add_segment(node, "Tumour bed", grid, box(volume))
    twin = add_segment(node, "eye_l", grid, box(volume))
    hn.leave_out(node, [unclear, twin])
    assert set(rois(hn.export_rtstruct(node, tmp_path, dicom_folder=folder).path)) == {
        row.name for row in hn.organ_rows(node)
    } - {"Tumour bed", "eye_l"}
