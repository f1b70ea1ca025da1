"""Which model drew a segment: noted on it, shown in the table, and said in the file; and the models of a run."""

from __future__ import annotations

import json
import shutil

import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.result import Result
from HNSegmenterLib.runtimes.local import missing_packages
from HNSegmenterLib.scene import provenance
from HNSegmenterLib.settings import Settings
from Testing.machine import require
from Testing.models.made import model, parotids
from Testing.rtstruct.help import MODEL
from Testing.scene.help import add_volume, new_scene, slicer
from Testing.scene.phantom import ct, drawn, folder, node, results, scene, volume

OTHER = {"name": "eyes | and: more", "version": "2.0", "digest": "sha256:" + "f" * 64}
OURS = f"{MODEL['name']} {MODEL['version']}"


@pytest.fixture
def of_two(results, tmp_path):
    """The eyes are another model's."""
    home = shutil.copytree(results, tmp_path / "two")
    result = Result.read(home / "result.json")
    for organ in result.organs:
        organ.model = OTHER if organ.name.startswith("Eye") else MODEL
    result.models = [MODEL, OTHER]
    result.write(home / "result.json")
    return home


def test_each_segment_and_row_knows_its_model(of_two, volume, tmp_path):
    node = hn.show_results(of_two, volume)
    drew = {row.name: row.model for row in hn.organ_rows(node)}
    assert (drew["Eye_L"], drew["Brainstem"]) == ("eyes | and: more 2.0", OURS)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "segments.seg.nrrd"))
    assert storage.WriteData(node)
    again = new_scene().AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(again)
    assert provenance.model_of(again.GetSegmentation().GetSegment("Eye_L")) == OTHER


def test_one_model_is_known_of_a_result_that_names_it_once(node):
    """As the container writes it, and as releases before this one did."""
    assert {row.model for row in hn.organ_rows(node)} == {OURS}
    kept = json.loads(node.GetAttribute(provenance.RESULT))
    assert kept["models"] == [MODEL]


def test_a_segment_of_a_former_release_has_no_model_of_its_own(node):
    segment = node.GetSegmentation().GetSegment("Eye_L")
    segment.RemoveTag(provenance.MODEL)
    assert provenance.model_of(segment) is None
    segment.SetTag(provenance.MODEL, "half {")
    assert provenance.model_of(segment) is None


def test_the_file_says_of_each_region_which_model_drew_it(of_two, volume, folder, tmp_path):
    node = hn.show_results(of_two, volume)
    left, right = (node.GetSegmentation().GetSegment(name) for name in ("Eye_L", "Parotid_L"))
    left.SetName("Parotid_L")  # the eyes' model drew what is called a parotid gland now
    right.SetName("Eye_L")
    said = descriptions(hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder).path)
    assert "Drawn by eyes | and: more 2.0." in said["Eye_R"]
    assert f"Drawn by {OURS}." in said["Brainstem"]
    assert "Drawn by eyes | and: more 2.0, then edited by hand." in said["Parotid_L"]
    assert f"Drawn by {OURS}, then edited by hand." in said["Eye_L"]


def descriptions(path) -> dict[str, str]:
    return {roi.ROIName: roi.ROIDescription for roi in pydicom.dcmread(path).StructureSetROISequence}


def test_a_run_with_two_models(ct, tmp_path):
    """The real networks, one after the other; what is chosen on this computer does not count."""
    require(not missing_packages(), f"the network's packages ({', '.join(missing_packages())})")
    from HNSegmenterLib.sample import sample_volume

    clinic = parotids(tmp_path / "clinic")
    Settings(models=[str(model(tmp_path / "other"))]).save()
    volume = add_volume(new_scene(), sample_volume()[0])
    node = hn.segment(volume, "local", models=[str(clinic), "hn-densevnet"])
    drew = {row.name: row.model for row in hn.organ_rows(node)}
    assert {name for name, title in drew.items() if title == "clinic-parotids 1.0"} == {"Parotid_L", "Parotid_R"}
    assert set(drew) == {"Parotid_L", "Parotid_R", "Brainstem", "SpinalCord", "Eye_L", "Eye_R"}


def test_models_are_options_of_the_child(volume, tmp_path):
    job = hn.HandOver.create(volume, tmp_path)
    arguments = job.arguments("local", models=["a@1", "b@2:Parotid_L"])
    assert arguments[-4:] == ["--model", "a@1", "--model", "b@2:Parotid_L"]
    assert "--model" not in job.arguments("local")
