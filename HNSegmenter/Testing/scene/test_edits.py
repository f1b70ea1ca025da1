"""What somebody drew, changed, renamed or took out since the network drew is told from what it drew."""

from __future__ import annotations

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy

from HNSegmenterLib import scene as hn
from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.scene import terminology
from HNSegmenterLib.scene.grid import Grid
from Testing.scene.help import (
    add_segment,
    paint,
    slicer,
    voxels,
    vtk,
)
from Testing.scene.phantom import SPACING, ct, drawn, folder, node, results, scene, volume


def test_a_segmentation_that_was_moved_away_from_its_ct_is_edited(node, volume, scene, drawn):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, -2 * SPACING[0])  # two voxels towards the patient's left: RAS
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    moved = np.roll(voxels(drawn["Eye_L"]), 2, axis=2)
    np.testing.assert_array_equal(voxels(hn.labelmaps(node, volume)["Eye_L"]), moved)
    assert hn.is_edited(node)


def test_untouched_segments_are_automatic_and_edits_are_seen(node, volume):
    grid = Grid.of_volume(volume)
    assert not hn.is_edited(node)
    assert {roi.algorithm for roi in hn.roi_plan(node)} == {"AUTOMATIC"}

    def one_more(array):
        array[12, 50, 50] ^= 1

    paint(node, "Eye_L", grid, one_more)
    assert hn.edited_segments(node) == ["Eye_L"]
    assert {roi.name for roi in hn.roi_plan(node) if roi.algorithm == "SEMIAUTOMATIC"} == {"Eye_L"}
    assert [row.name for row in hn.organ_rows(node) if row.edited] == ["Eye_L"]
    paint(node, "Eye_L", grid, one_more)  # undone
    assert not hn.is_edited(node)


def test_a_neighbour_that_loses_voxels_is_edited_too(node, volume, drawn):
    """As the Segment Editor's "overwrite" leaves two segments of one shared labelmap."""
    shared = node.GetBinaryLabelmapInternalRepresentation("Eye_L")
    label = {name: node.GetSegmentation().GetSegment(name).GetLabelValue() for name in ("Eye_L", "Eye_R")}
    array = vtk_to_numpy(shared.GetPointData().GetScalars())
    array[np.flatnonzero(array == label["Eye_L"])[:20]] = label["Eye_R"]
    shared.Modified()
    assert hn.edited_segments(node) == ["Eye_L", "Eye_R"]
    lost = np.count_nonzero(voxels(drawn["Eye_L"])) - np.count_nonzero(voxels(hn.labelmaps(node, volume)["Eye_L"]))
    assert lost == 20


def test_added_removed_and_renamed_segments(node, volume):
    grid = Grid.of_volume(volume)
    box = np.zeros(grid.size[::-1], np.uint8)
    box[5:9, 10:20, 10:20] = 1
    added = add_segment(node, "GTVp", grid, box)
    assert hn.edited_segments(node) == [added]
    rows = hn.organ_rows(node)
    assert (rows[-1].name, rows[-1].status, rows[-1].edited) == ("GTVp", "added", True)
    node.GetSegmentation().RemoveSegment(added)
    assert not hn.is_edited(node)
    node.GetSegmentation().GetSegment("Parotid_L").SetName("Left parotid")
    assert hn.is_edited(node)
    assert hn.edited_segments(node) == []
    (renamed,) = [roi for roi in hn.roi_plan(node) if roi.segment_id == "Parotid_L"]
    assert (renamed.name, renamed.organ, renamed.algorithm) == ("Left parotid", "Parotid_L", "AUTOMATIC")
    node.GetSegmentation().GetSegment("Parotid_L").SetName("Parotid_L")
    node.GetSegmentation().RemoveSegment("Eye_L")
    assert hn.is_edited(node)
    assert {row.name: row.status for row in hn.organ_rows(node)}["Eye_L"] == "removed"


def test_sides_that_were_put_right_by_hand_are_no_longer_automatic(node):
    left, right = (node.GetSegmentation().GetSegment(f"Parotid_{side}") for side in "LR")
    left.SetName("Parotid_R")
    right.SetName("Parotid_L")
    plan = {roi.segment_id: roi for roi in hn.roi_plan(node)}
    assert (plan["Parotid_L"].organ, plan["Parotid_L"].algorithm) == ("Parotid_R", "SEMIAUTOMATIC")
    assert (plan["Parotid_R"].organ, plan["Parotid_R"].algorithm) == ("Parotid_L", "SEMIAUTOMATIC")


def test_a_segment_of_the_organs_name_comes_before_one_made_of_it(node, volume):
    grid = Grid.of_volume(volume)
    box = np.zeros(grid.size[::-1], np.uint8)
    box[5:9, 10:20, 10:20] = 1
    node.GetSegmentation().GetSegment("Eye_L").SetName("Eye_L before")
    redrawn = add_segment(node, "eye_l", grid, box)
    plan = {roi.segment_id: roi for roi in hn.roi_plan(node)}
    assert (plan[redrawn].organ, plan["Eye_L"].organ) == ("Eye_L", None)
    rows = {row.segment_id: row.name for row in hn.organ_rows(node)}
    assert list(rows)[4] == redrawn and list(rows)[-1] == "Eye_L"


def test_a_target_made_of_an_organ_is_no_organ(node):
    node.GetSegmentation().GetSegment("Parotid_L").SetName("GTVp")
    (roi,) = [roi for roi in hn.roi_plan(node) if roi.name == "GTVp"]
    assert (roi.organ, roi.interpreted_type, roi.algorithm) == (None, "GTV", "SEMIAUTOMATIC")


def test_what_is_a_target_is_told_or_asked(node, volume):
    grid = Grid.of_volume(volume)
    box = np.zeros(grid.size[::-1], np.uint8)
    box[5:9, 10:20, 10:20] = 1
    serialize = slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry
    nothing = [""] * 3

    def entry(kind):
        return serialize(
            "any list", "49755003", "SCT", "Morphologically Altered Structure", *kind, *nothing, "", *nothing, *nothing
        )

    clinical = serialize(
        terminology.CONTEXT,
        "363787002",
        "SCT",
        "Observable entity",
        "228792002",
        "SCT",
        "Clinical target volume",
        *nothing,
        "",
        *nothing,
        *nothing,
    )
    named = {
        "GTVp": None,
        "PTV_7000": None,
        "External": None,
        "Mandible": None,
        "Tumour": None,
        "Mass": entry(("108369006", "SCT", "Neoplasm")),
    }
    for name, code in (named | {"High risk": clinical}).items():
        add_segment(node, name, grid, box, code)
    kinds = {roi.name: roi.interpreted_type for roi in hn.roi_plan(node)[6:]}
    assert kinds == {
        "GTVp": "GTV",
        "PTV_7000": "PTV",
        "External": "EXTERNAL",
        "Mandible": "ORGAN",
        "Tumour": None,
        "Mass": None,
        "High risk": "CTV",
    }
    assert {roi.algorithm for roi in hn.roi_plan(node)[6:]} == {"MANUAL"}
    answered = {roi.name: roi.interpreted_type for roi in hn.roi_plan(node, {"Tumour": "GTV", "Mass": "ORGAN"})}
    assert (answered["Tumour"], answered["Mass"]) == ("GTV", "ORGAN")
    with pytest.raises(WrongUsage, match="'TUMOUR' is no type"):
        hn.roi_plan(node, {"Mass": "TUMOUR"})


def test_two_segments_of_one_name_are_refused(node):
    node.GetSegmentation().GetSegment("Eye_L").SetName("eye_r")
    with pytest.raises(WrongUsage, match="Two segments are called"):
        hn.roi_plan(node)
