"""From segments to an RTSTRUCT on the original series: what was edited, renamed and added goes out as what it is."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.checks import LOOKS
from HNSegmenterLib.errors import HNSegmenterError, UnusableInput, WrongUsage
from HNSegmenterLib.rtstruct import NameTable, pair, write_rtstruct
from HNSegmenterLib.rtstruct.rois import REVIEW
from HNSegmenterLib.scene.grid import Grid
from HNSegmenterLib.settings import Settings
from Testing.rtstruct.help import dciodvfy_complaints, dice, digests, make_ct, plastimatch_masks
from Testing.scene.help import (
    add_segment,
    add_volume,
    box,
    contours,
    new_scene,
    paint,
    rois,
    slicer,
    voxels,
    vtk,
)
from Testing.scene.phantom import ORIGIN, SHAPE, SPACING, ct, drawn, folder, node, results, scene, volume


def test_untouched_segments_give_the_command_lines_contours(node, ct, drawn, folder, tmp_path):
    before = digests(folder)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert saved.path == tmp_path / "out" / "rtstruct.dcm"
    assert [path.name for path in saved.path.parent.iterdir()] == ["rtstruct.dcm"]
    assert {roi.name: (roi.algorithm, roi.interpreted_type, roi.dice) for roi in saved.rois} == dict.fromkeys(
        drawn, ("AUTOMATIC", "ORGAN", 1.0)
    )
    write_rtstruct(ct, drawn, hn.result_of(node), tmp_path / "library.dcm")
    assert contours(saved.path) == contours(tmp_path / "library.dcm")
    assert dciodvfy_complaints(saved.path) == []
    assert digests(folder) == before
    assert saved.way == "HN Segmenter"
    assert "SlicerRT is not installed" in saved.why


def test_a_scan_that_looks_turned_is_said_in_the_file(results, volume, folder, tmp_path):
    turned, other = f"{LOOKS}upside down: check it.", "The slices are 4 mm apart."
    home = shutil.copytree(results, tmp_path / "results")
    told = json.loads((home / "result.json").read_text()) | {"warnings": [turned, other]}
    (home / "result.json").write_text(json.dumps(told))
    saved = hn.export_rtstruct(hn.show_results(home, volume), tmp_path / "out", dicom_folder=folder)
    description = pydicom.dcmread(saved.path).StructureSetDescription
    assert description.split("\r\n")[:2] == [REVIEW, turned] and other not in description


def test_edited_renamed_and_added_segments_go_out_as_what_they_are(node, volume, ct, drawn, folder, tmp_path):
    grid = Grid.of_volume(volume)
    paint(
        node,
        "Eye_L",
        grid,
        lambda array: np.copyto(array, voxels(drawn["Eye_L"]) | box(volume, (17, 22, 50), (19, 34, 62))),
    )
    node.GetSegmentation().GetSegment("Parotid_L").SetName("Left parotid")
    add_segment(node, "GTVp", grid, box(volume))
    add_segment(node, "Mandible", grid, box(volume, (3, 40, 40), (7, 50, 50)))
    node.GetSegmentation().AddEmptySegment("", "Nothing yet")
    saved = hn.export_rtstruct(node, tmp_path, dicom_folder=folder)
    assert rois(saved.path) == {
        **dict.fromkeys(("Brainstem", "SpinalCord", "Left parotid", "Parotid_R", "Eye_R"), ("AUTOMATIC", "ORGAN")),
        "Eye_L": ("SEMIAUTOMATIC", "ORGAN"),
        "GTVp": ("MANUAL", "GTV"),
        "Mandible": ("MANUAL", "ORGAN"),
    }
    codes = {roi.name: roi.codes for roi in pair(pydicom.dcmread(saved.path)).rois}
    assert codes["Left parotid"] == {("45289007", "SCT", "7771000")}
    assert codes["GTVp"] == set()
    masks = plastimatch_masks(saved.path, folder, ct, tmp_path / "read")
    shown = hn.labelmaps(node, ct.image)
    assert dice(masks["Eye_L"], voxels(shown["Eye_L"])) >= 0.99
    assert dice(masks["GTVp"], box(volume)) >= 0.99
    assert dciodvfy_complaints(saved.path) == []


def test_who_must_be_asked_is_asked_before_anything_is_written(node, volume, folder, tmp_path):
    add_segment(node, "Tumour bed", Grid.of_volume(volume), box(volume))
    with pytest.raises(hn.UnclearType, match="Tumour bed is a target") as question:
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert question.value.segments == ["Tumour bed"]
    assert not (tmp_path / "out").exists()
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder, types={"Tumour bed": "CTV"})
    assert rois(saved.path)["Tumour bed"] == ("MANUAL", "CTV")


def test_the_clinics_names_are_used(node, volume, folder, tmp_path):
    node.GetSegmentation().GetSegment("Eye_R").SetName("Right eye")
    add_segment(node, "Kiefer", Grid.of_volume(volume), box(volume))
    names = NameTable({"Parotid_L": "Parotis links", "Eye_R": "Auge rechts", "Bone_Mandible": "Kiefer"})
    written = rois(hn.export_rtstruct(node, tmp_path, dicom_folder=folder, names=names).path)
    assert {"Parotis links", "Right eye", "Kiefer"} < set(written)
    assert "Auge rechts" not in written
    assert written["Kiefer"] == ("MANUAL", "ORGAN")


def test_a_region_with_the_clinics_name_of_a_renamed_organ_keeps_its_author(node, volume, folder, tmp_path):
    node.GetSegmentation().GetSegment("Eye_L").SetName("Left eye")
    add_segment(node, "Auge links", Grid.of_volume(volume), box(volume))
    written = rois(
        hn.export_rtstruct(node, tmp_path, dicom_folder=folder, names=NameTable({"Eye_L": "Auge links"})).path
    )
    assert (written["Left eye"], written["Auge links"]) == (("AUTOMATIC", "ORGAN"), ("MANUAL", "ORGAN"))


def test_the_settings_table_of_names_is_used_as_on_the_command_line(node, folder, tmp_path):
    table = tmp_path / "names.csv"
    table.write_text("Parotid_L;Parotis links\n", encoding="utf-8")
    Settings(names=str(table)).save()
    assert "Parotis links" in rois(hn.export_rtstruct(node, tmp_path, dicom_folder=folder).path)


def test_a_file_that_is_there_stays(node, folder, tmp_path):
    (tmp_path / "rtstruct.dcm").write_text("somebody's")
    with pytest.raises(WrongUsage, match=r"already holds rtstruct.dcm"):
        hn.export_rtstruct(node, tmp_path, dicom_folder=folder)
    assert (tmp_path / "rtstruct.dcm").read_text() == "somebody's"
    saved = hn.export_rtstruct(node, tmp_path, dicom_folder=folder, overwrite=True)
    assert len(rois(saved.path)) == 6


def test_what_does_not_read_back_as_drawn_is_not_kept(node, folder, tmp_path, monkeypatch):
    """A disk that gives back another file: one organ's contours moved by two pixels."""
    from HNSegmenterLib.scene.saving import export

    def damaging(dataset, path):
        for item in dataset.ROIContourSequence[4].ContourSequence:
            item.ContourData = [value + 5.0 * (n % 3 == 0) for n, value in enumerate(item.ContourData)]
        write(dataset, path)

    write = export.write
    monkeypatch.setattr(export, "write", damaging)
    with pytest.raises(HNSegmenterError, match="contours of Eye_L in the file differ"):
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert not (tmp_path / "out").exists()


def test_nothing_drawn_is_nothing_to_save(node, folder, tmp_path):
    node.GetSegmentation().RemoveAllSegments()
    with pytest.raises(UnusableInput, match="has no contour"):
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    with pytest.raises(UnusableInput, match="has no contour"):
        hn.save_labelmaps(node, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_the_cts_own_is_refused(node, tmp_path):
    make_ct(tmp_path / "other", SHAPE, SPACING, origin=ORIGIN)
    with pytest.raises(UnusableInput, match="does not hold the series of Planning CT"):
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=tmp_path / "other")


def test_without_the_dicom_database_a_folder_must_be_named(node, tmp_path):
    with pytest.raises(UnusableInput, match="database is not open"):
        hn.export_rtstruct(node, tmp_path / "out")


def test_somebodys_own_segmentation_can_be_exported_too(volume, folder, tmp_path):
    """Drawn from nothing, on our CT: all of it is manual."""
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    add_segment(node, "Parotid_L", Grid.of_volume(volume), box(volume))
    assert rois(hn.export_rtstruct(node, tmp_path, dicom_folder=folder).path) == {"Parotid_L": ("MANUAL", "ORGAN")}


def test_a_volume_without_dicom_gets_labelmaps(results, ct, drawn, tmp_path):
    scene = new_scene()
    volume = add_volume(scene, ct.image, name="From NIfTI")
    node = hn.show_results(results, volume)
    with pytest.raises(UnusableInput, match=r"From NIfTI was not loaded from DICOM.*save the contours as labelmaps"):
        hn.export_rtstruct(node, tmp_path / "out")
    node.GetSegmentation().GetSegment("Eye_L").SetName("Eye: left")
    written = hn.save_labelmaps(node, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}
    assert "Eye_ left.nii.gz" in {path.name for path in written}
    again = sitk.ReadImage(str(tmp_path / "out" / "Brainstem.nii.gz"))
    np.testing.assert_array_equal(voxels(again), voxels(drawn["Brainstem"]))
    np.testing.assert_allclose(again.GetOrigin(), ct.image.GetOrigin(), atol=1e-4)
    reader = slicer.vtkMRMLSegmentationStorageNode()
    reader.SetFileName(str(tmp_path / "out" / "segmentation.seg.nrrd"))
    other = new_scene().AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert reader.ReadData(other)
    assert other.GetSegmentation().GetNumberOfSegments() == 6
    with pytest.raises(WrongUsage, match="already holds"):
        hn.save_labelmaps(node, tmp_path / "out")


def test_a_ct_with_a_hardened_transform_is_refused(node, volume, folder, tmp_path):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    matrix.SetElement(2, 3, matrix.GetElement(2, 3) + 2.0)
    volume.SetIJKToRASMatrix(matrix)
    with pytest.raises(UnusableInput, match="a transform was hardened"):
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert not (tmp_path / "out").exists()


def test_a_volume_with_slices_left_out_is_still_its_series(node, ct, folder, tmp_path):
    """Slicer may leave out a slice that is there twice; a slice that is nowhere is a fault."""
    volume = hn.volume_of(node)
    uids = volume.GetAttribute("DICOM.instanceUIDs").split()
    volume.SetAttribute("DICOM.instanceUIDs", " ".join([*uids, "2.25.1"]))
    with pytest.raises(UnusableInput, match="Slices of Planning CT are missing"):
        hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
