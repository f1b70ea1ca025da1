"""Contours that SlicerRT draws, on the original series: used where they are the segments, and else not."""

from __future__ import annotations

import subprocess

import numpy as np
import pydicom
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.rtstruct import Roi, build, pair, trace
from HNSegmenterLib.scene.grid import Grid
from Testing.machine import require_program
from Testing.phantoms import nifti_to_series
from Testing.rtstruct.help import contours as by_name
from Testing.rtstruct.help import dciodvfy_complaints, dice, labelmap, plastimatch_masks
from Testing.scene.help import (
    add_ct,
    add_segment,
    box,
    new_scene,
    paint,
    rois,
    slice_ids,
    voxels,
    write_results,
)
from Testing.scene.phantom import ct, drawn, folder, node, results, scene, volume


def plastimatch_as_slicer_rt(monkeypatch, home, change=lambda name, image: image):
    """What SlicerRT's exporter hands to its engine goes to the same engine from Debian;
    SlicerRT itself needs the window."""
    from HNSegmenterLib.scene.saving import slicer_rt

    program = require_program("plastimatch")

    def export(node, volume, ct, emit):
        (home / "segments").mkdir(parents=True)
        for name, image in hn.labelmaps(node, volume).items():
            sitk.WriteImage(change(name, image), str(home / "segments" / f"{name}.nii.gz"))
        sitk.WriteImage(hn.image_of(volume), str(home / "ct.nii.gz"))
        command = [
            program,
            "convert",
            "--input",
            home / "ct.nii.gz",
            "--input-prefix",
            home / "segments",
            "--output-dicom",
            home / "out",
        ]
        subprocess.run([str(part) for part in [*command, "--patient-id", "TEST-0001"]], check=True, capture_output=True)
        dataset = pydicom.dcmread(next((home / "out").glob("rtss*")))
        dataset.StudyInstanceUID = ct.study_uid  # SlicerRT keeps the study
        return dataset

    monkeypatch.setattr(slicer_rt, "slicer_rt_problem", lambda volume, ct: None)
    monkeypatch.setattr(slicer_rt, "export", export)


def test_slicer_rts_contours_are_put_on_the_original_series(node, volume, ct, drawn, folder, tmp_path, monkeypatch):
    plastimatch_as_slicer_rt(monkeypatch, tmp_path / "engine")
    grid = Grid.of_volume(volume)
    paint(
        node,
        "Eye_L",
        grid,
        lambda array: np.copyto(array, voxels(drawn["Eye_L"]) | box(volume, (17, 22, 50), (19, 34, 62))),
    )
    add_segment(node, "GTVp", grid, box(volume, (5, 10, 10), (12, 30, 30)))
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert (saved.way, saved.why) == ("SlicerRT", "SlicerRT's exporter drew the contours.")
    assert min(roi.dice for roi in saved.rois) >= 0.99
    assert slice_ids(saved.path) <= {s.sop_instance_uid for s in ct.slices}
    written = rois(saved.path)
    assert (written["Eye_L"], written["GTVp"], written["Brainstem"]) == (
        ("SEMIAUTOMATIC", "ORGAN"),
        ("MANUAL", "GTV"),
        ("AUTOMATIC", "ORGAN"),
    )
    assert pydicom.dcmread(saved.path).FrameOfReferenceUID == ct.frame_of_reference_uid
    assert dciodvfy_complaints(saved.path) == []


def test_a_real_ct_with_clinical_contours_and_an_edit(real_data, tmp_path, monkeypatch):
    patient = real_data / "openkbp" / "validation" / "pt_201"
    nifti_to_series(patient / "data.nii.gz", tmp_path / "ct")
    ct = read_planning_ct(tmp_path / "ct")
    clinical = voxels(sitk.ReadImage(str(patient / "label.nii.gz")))
    drawn = {
        name: labelmap(ct, clinical == value)
        for value, name in enumerate(("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R"), start=1)
    }
    write_results(tmp_path / "results", drawn, Eye_L="not in this model", Eye_R="not in this model")
    volume = add_ct(new_scene(), ct)
    node = hn.show_results(tmp_path / "results", volume)
    paint(node, "Parotid_L", Grid.of_volume(volume), lambda array: np.copyto(array, np.roll(array, 1, axis=2) | array))
    plastimatch_as_slicer_rt(monkeypatch, tmp_path / "engine")
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=tmp_path / "ct")
    assert saved.way == "SlicerRT"
    assert {name for name, (algorithm, _) in rois(saved.path).items() if algorithm == "SEMIAUTOMATIC"} == {"Parotid_L"}
    shown = hn.labelmaps(node, ct.image)
    masks = plastimatch_masks(saved.path, tmp_path / "ct", ct, tmp_path / "read")
    assert {name: dice(masks[name], voxels(shown[name])) >= 0.99 for name in drawn} == dict.fromkeys(drawn, True)


def test_contours_of_slicer_rt_that_differ_are_not_used(node, folder, tmp_path, monkeypatch):
    plastimatch_as_slicer_rt(
        monkeypatch, tmp_path / "engine", lambda name, image: sitk.BinaryErode(image) if name == "Eye_R" else image
    )
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert saved.way == "HN Segmenter"
    assert "SlicerRT's contours of Eye_R differ from the segment (Dice 0." in saved.why
    assert {roi.dice for roi in saved.rois} == {1.0}


def test_a_refusal_of_slicer_rt_is_told(node, folder, tmp_path, monkeypatch):
    from HNSegmenterLib.scene.saving import slicer_rt

    def refused(node, volume, ct, emit):
        raise HNSegmenterError(
            "SlicerRT could not export the contours: Must export the primary anatomical (CT/MR) image"
        )

    monkeypatch.setattr(slicer_rt, "slicer_rt_problem", lambda volume, ct: None)
    monkeypatch.setattr(slicer_rt, "export", refused)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert saved.way == "HN Segmenter"
    assert "since SlicerRT could not export the contours: Must export" in saved.why


def test_parts_of_slicer_rt_are_joined_by_their_numbers(ct, drawn):
    """Whatever numbers it gives, and in whatever order its sequences are."""
    from HNSegmenterLib.scene.saving.slicer_rt import _joined

    def part(names, numbers):
        dataset = build(ct, [Roi(name, None, trace(ct, drawn[name])) for name in names])
        for sequence, keyword in NUMBERS.items():
            for item, number in zip(dataset[sequence].value, numbers, strict=True):
                item[keyword].value = number
        dataset.ROIContourSequence = list(reversed(dataset.ROIContourSequence))
        return dataset

    joined = _joined([part(["Eye_L"], [3]), part(["Eye_R", "Brainstem"], [2, 1]), part(["Parotid_L"], [0])])
    assert [roi.number for roi in pair(joined).rois] == [1, 2, 3, 4]
    assert by_name(joined) == by_name(part(["Eye_L", "Eye_R", "Brainstem", "Parotid_L"], [1, 2, 3, 4]))
    assert [seen.ObservationNumber for seen in joined.RTROIObservationsSequence] == [1, 2, 3, 4]


NUMBERS = {
    "StructureSetROISequence": "ROINumber",
    "ROIContourSequence": "ReferencedROINumber",
    "RTROIObservationsSequence": "ReferencedROINumber",
}
