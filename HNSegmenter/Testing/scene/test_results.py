"""Labelmaps and result.json as segments: the same voxels, names, colours and codes, beside their CT."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.errors import RuntimeFault, WrongUsage
from HNSegmenterLib.scene import provenance, terminology
from HNSegmenterLib.scene.grid import Grid, nodes_of
from HNSegmenterLib.scene.volumes import array_of
from Testing.rtstruct.help import labelmap
from Testing.scene.help import (
    add_ct,
    add_volume,
    in_study,
    new_scene,
    paint,
    slicer,
    voxels,
    vtk,
    write_results,
)
from Testing.scene.phantom import SPACING, ct, drawn, folder, node, results, scene, volume


def segmentations(scene) -> list:
    return nodes_of(scene, "vtkMRMLSegmentationNode")


def test_segments_have_the_labelmaps_voxels(node, volume, ct, drawn):
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    for target in (volume, ct.image):
        again = hn.labelmaps(node, target)
        assert list(again) == list(drawn)
        for name, image in drawn.items():
            np.testing.assert_array_equal(voxels(again[name]), voxels(image), name)
            np.testing.assert_allclose(again[name].GetOrigin(), ct.image.GetOrigin())


def test_slicers_own_export_gives_the_same_voxels(node, volume, drawn, scene):
    """Read by Slicer's logic, as any other module would."""
    for name, image in drawn.items():
        ids = vtk.vtkStringArray()
        ids.InsertNextValue(name)
        target = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        assert slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(node, ids, target, volume)
        np.testing.assert_array_equal(array_of(target) != 0, voxels(image) != 0, name)


def test_names_colours_and_codes_are_the_models(node):
    result = hn.result_of(node)
    entry = slicer.vtkSlicerTerminologyEntry()
    for organ in result.organs:
        segment = node.GetSegmentation().GetSegment(organ.name)
        assert segment.GetName() == organ.name
        assert tuple(round(part * 255) for part in segment.GetColor()) == organ.color
        assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        assert entry.GetCategoryObject().GetCodeValue() == "123037004"
        kind, side = entry.GetTypeObject(), entry.GetTypeModifierObject()
        assert (kind.GetCodeValue(), kind.GetCodingSchemeDesignator()) == (organ.code["value"], "SCT")
        assert side.GetCodeValue() == (organ.laterality["value"] if organ.laterality else None)


def test_our_terminology_file_has_every_organ_with_its_colour(node):
    """As the terminology selector finds it, in the context that the segments name."""
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert terminology.register(logic)
    for organ in hn.result_of(node).organs:
        found = slicer.vtkSlicerTerminologyEntry()
        assert logic.FindTypeInTerminologyBy3dSlicerLabel(terminology.CONTEXT, organ.name, found), organ.name
        assert found.GetTypeObject().GetCodeValue() == organ.code["value"]
        named = found.GetTypeModifierObject() if organ.laterality else found.GetTypeObject()
        assert tuple(named.GetRecommendedDisplayRGBValue()) == organ.color
    for (_, value), label in terminology.TARGETS.items():
        found = slicer.vtkSlicerTerminologyEntry()
        assert logic.FindTypeInTerminologyBy3dSlicerLabel(terminology.CONTEXT, label, found)
        assert found.GetTypeObject().GetCodeValue() == value
        serialized = slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry(found)
        assert terminology.target_type(serialized) == label


def test_shown_as_outlines_and_in_3d_from_binary_labelmaps(node):
    display = node.GetDisplayNode()
    assert (display.GetVisibility3D(), display.GetVisibility2DOutline(), display.GetVisibility2DFill()) == (1, 1, 0)
    assert node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
    for organ in hn.result_of(node).organs:
        assert node.GetClosedSurfaceInternalRepresentation(organ.name).GetNumberOfPoints() > 100


def test_it_is_a_sibling_of_its_ct_under_the_same_study(results, volume, scene):
    study, item = in_study(scene, volume)
    node = hn.show_results(results, volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    own = hierarchy.GetItemByDataNode(node)
    assert own not in (0, item)
    assert hierarchy.GetItemParent(own) == study == hierarchy.GetItemParent(item)


def test_organs_that_overlap_keep_all_their_voxels(ct, drawn, volume, tmp_path):
    shared = voxels(drawn["Parotid_L"]).copy()
    shared[:, :, :60] |= voxels(drawn["SpinalCord"])[:, :, :60]
    overlapping = {**drawn, "Parotid_L": labelmap(ct, shared)}
    write_results(tmp_path, overlapping)
    node = hn.show_results(tmp_path, volume)
    assert node.GetSegmentation().GetNumberOfLayers() == 2
    again = hn.labelmaps(node, volume)
    for name, image in overlapping.items():
        np.testing.assert_array_equal(voxels(again[name]), voxels(image), name)
    assert not hn.is_edited(node)


def test_it_lies_under_its_cts_transform(results, volume, scene, drawn):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 37.0)
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = hn.show_results(results, volume)
    assert node.GetParentTransformNode() is transform
    np.testing.assert_array_equal(voxels(hn.labelmaps(node, volume)["Eye_L"]), voxels(drawn["Eye_L"]))
    assert not hn.is_edited(node)
    right, _, _ = hn.organ_center(node, "Eye_L")
    transform.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
    assert right - hn.organ_center(node, "Eye_L")[0] == pytest.approx(37.0)


def test_not_found_organs_have_a_row_but_no_segment(ct, drawn, volume, tmp_path):
    write_results(tmp_path, drawn, Eye_L="not in this model", Parotid_R="not found")
    node = hn.show_results(tmp_path, volume)
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    rows = {row.name: row for row in hn.organ_rows(node)}
    assert list(rows) == list(drawn)
    assert (rows["Eye_L"].status, rows["Eye_L"].segment_id, rows["Eye_L"].volume_ml) == (
        "not in this model",
        None,
        None,
    )
    assert rows["Parotid_R"].status == "not found"
    millilitres = np.count_nonzero(voxels(drawn["Brainstem"])) * np.prod(SPACING) / 1000
    assert rows["Brainstem"].volume_ml == pytest.approx(millilitres, abs=0.05)
    assert not hn.is_edited(node)


def test_earlier_results_of_this_ct_are_known_and_replaced(node, results, volume, scene):
    other = add_volume(scene, sitk.GetImageFromArray(np.zeros((4, 8, 8), np.int16)), name="Another CT")
    foreign = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Somebody's")
    foreign.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert hn.own_results(volume) == [node]
    assert hn.own_results(other) == []
    assert not hn.is_own(foreign)
    again = hn.show_results(results, volume, replace=node)
    assert hn.own_results(volume) == [again]
    assert segmentations(scene) == [foreign, again]
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 1


def test_somebodys_edits_are_never_replaced(node, results, volume, scene):
    paint(node, "Eye_L", Grid.of_volume(volume), lambda array: array.__setitem__((12, 50, 50), 1 - array[12, 50, 50]))
    foreign = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Somebody's")
    for kept in (node, foreign):
        with pytest.raises(WrongUsage, match="somebody's own contours"):
            hn.show_results(results, volume, replace=kept)
    assert segmentations(scene) == [node, foreign]


def test_labelmaps_of_another_ct_or_damaged_ones_leave_nothing_in_the_scene(
    results, drawn, scene, volume, ct, tmp_path
):
    shifted = sitk.Image(ct.image)
    shifted.SetOrigin([value + 1 for value in ct.image.GetOrigin()])
    with pytest.raises(RuntimeFault, match="does not lie on this CT's grid"):
        hn.show_results(results, add_volume(scene, shifted))
    write_results(tmp_path, drawn)
    for content, sentence in ((b"no NIfTI", "cannot be read"), (None, "cannot be read")):
        path = tmp_path / "segmentations" / "Eye_R.nii.gz"
        path.write_bytes(content) if content else path.unlink()
        with pytest.raises(RuntimeFault, match=f"labelmap of Eye_R {sentence}"):
            hn.show_results(tmp_path, volume)
    sitk.WriteImage(labelmap(ct, 2 * voxels(drawn["Eye_R"])), str(path))
    with pytest.raises(RuntimeFault, match="not one of zeros and ones"):
        hn.show_results(tmp_path, volume)
    with pytest.raises(RuntimeFault, match=r"no readable result.json"):
        hn.show_results(tmp_path / "segmentations", volume)
    assert segmentations(scene) == []


def test_steps_for_a_window_can_be_given_up(results, volume, scene):
    fractions = list(hn.show_in_steps(results, volume))
    assert fractions == sorted(set(fractions))
    assert fractions[0] > 0 and fractions[-1] < 1
    before = segmentations(scene)
    for given_up in range(1, len(fractions) + 1):
        steps = hn.show_in_steps(results, volume)
        for _ in range(given_up):
            next(steps)
        steps.close()
        assert segmentations(scene) == before


def test_a_saved_scene_still_knows_whose_contours_it_holds(node, results, volume, ct, scene, tmp_path):
    """Node attributes through MRML, segments' tags and voxels through .seg.nrrd."""
    text = node.GetAttribute(provenance.RESULT)
    assert json.loads(text)["model"]["name"] == "hn-densevnet"
    scene.SetURL(str(tmp_path / "scene.mrml"))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    storage.SetFileName(str(tmp_path / "segments.seg.nrrd"))
    assert storage.WriteData(node)
    assert scene.Commit()
    other = new_scene()
    other.SetURL(scene.GetURL())
    assert other.Import()
    (again,) = segmentations(other)
    assert again.GetAttribute(provenance.RESULT) == text
    again.GetStorageNode().ReadData(again)
    again.SetReferenceImageGeometryParameterFromVolumeNode(add_ct(other, ct))
    assert hn.is_own(again)
    assert hn.edited_segments(again) == []
