"""RTSTRUCTs that others drew: put right, or refused with the reason; nothing goes in silence."""

from __future__ import annotations

import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.rtstruct import NameTable, Options, complete, write
from Testing.machine import require_program
from Testing.rtstruct.help import (
    MODEL,
    dciodvfy_complaints,
    dice,
    digests,
    drawing,
    head_organs,
    make_ct,
    organs,
    plastimatch_masks,
    ring,
    square,
)

SHAPE, SPACING = (24, 96, 96), (2.5, 2.5, 3.0)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct"), SHAPE, SPACING, origin=(-118.71, -130.123456, -40.777))


@pytest.fixture(scope="module")
def exported(ct, tmp_path_factory):
    """What SlicerRT's engine leaves: a copy of the CT under new UIDs, and an RTSTRUCT that refers to the copy."""
    program = require_program("plastimatch")
    folder = tmp_path_factory.mktemp("exported")
    (folder / "segments").mkdir()
    drawn = head_organs(ct)
    for name, image in drawn.items():
        sitk.WriteImage(image, str(folder / "segments" / f"{name}.nii.gz"))
    command = [
        program,
        "convert",
        "--input",
        ct.slices[0].path.parent,
        "--input-prefix",
        folder / "segments",
        "--output-dicom",
        folder / "out",
    ]
    subprocess.run([str(part) for part in [*command, "--patient-id", "TEST-0001"]], check=True, capture_output=True)
    (path,) = (folder / "out").glob("rtss*")
    return path, drawn


def test_slicer_rts_file_comes_out_on_the_original_ct(ct, exported, tmp_path):
    path, drawn = exported
    before = digests(ct.slices[0].path.parent)
    source = pydicom.dcmread(path)
    named = {item.ReferencedSOPInstanceUID for item in _contour_images(source)}
    ours = {slice_.sop_instance_uid for slice_ in ct.slices}
    assert not named & ours, "the exported file was to refer to a copy"
    assert source.StructureSetLabel == "AutoSS"
    source.StudyInstanceUID = ct.study_uid  # SlicerRT keeps the study
    warnings: list[str] = []
    completed = complete(source, ct, MODEL, organs(), Options(algorithms={"Eye_L": "SEMIAUTOMATIC"}), warnings.append)
    write(completed, tmp_path / "rtstruct.dcm")

    assert warnings == []
    again = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    assert {item.ReferencedSOPInstanceUID for item in _contour_images(again)} <= ours
    assert again.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert again.Manufacturer == "HN Segmenter"
    assert again.StructureSetLabel != "AutoSS"
    algorithms = {item.ROIName: item.ROIGenerationAlgorithm for item in again.StructureSetROISequence}
    assert algorithms == {name: "SEMIAUTOMATIC" if name == "Eye_L" else "AUTOMATIC" for name in drawn}
    described = {item.ROIName: item.ROIDescription for item in again.StructureSetROISequence}
    assert "then edited by hand" in described["Eye_L"]
    assert {item.RTROIInterpretedType for item in again.RTROIObservationsSequence} == {"ORGAN"}
    assert dciodvfy_complaints(tmp_path / "rtstruct.dcm") == []
    masks = plastimatch_masks(tmp_path / "rtstruct.dcm", ct.slices[0].path.parent, ct, tmp_path / "read")
    for name, image in drawn.items():
        assert dice(sitk.GetArrayViewFromImage(image), masks[name]) >= 0.99
    assert digests(ct.slices[0].path.parent) == before


def test_a_file_of_another_study_is_refused(ct, exported):
    source = pydicom.dcmread(exported[0])
    with pytest.raises(UnusableInput, match="another study"):
        complete(source, ct, MODEL, organs())
    source.PatientID = "TEST-0002"
    with pytest.raises(UnusableInput, match="another patient") as refusal:
        complete(source, ct, MODEL, organs())
    assert "TEST-000" not in refusal.value.sentence


def _contour_images(dataset: Dataset) -> list[Dataset]:
    items = [
        item for roi in dataset.ROIContourSequence for item in roi.ContourSequence if "ContourImageSequence" in item
    ]
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    return [image for item in items for image in item.ContourImageSequence] + list(series.ContourImageSequence)


def test_a_contour_between_slices_is_refused(ct):
    with pytest.raises(UnusableInput, match=r"Eye_L lies 1\.\d\d mm from the nearest slice"):
        complete(drawing(("Eye_L", [square(ct, 5), square(ct, 6.4)])), ct, MODEL, organs())
    across = square(ct, 5)
    across[:2, 2] += 1.0
    with pytest.raises(UnusableInput, match="nearest slice"):
        complete(drawing(("Eye_L", [across])), ct, MODEL, organs())


def test_a_contour_beyond_the_scan_or_the_image_is_refused(ct):
    with pytest.raises(UnusableInput, match="nearest slice"):
        complete(drawing(("Eye_L", [square(ct, len(ct.slices))])), ct, MODEL, organs())
    with pytest.raises(UnusableInput, match="outside slice"):
        complete(drawing(("Eye_L", [square(ct, 3, (90, 20), (96, 30))])), ct, MODEL, organs())


def test_small_drift_is_moved_into_the_plane_and_said(ct):
    warnings: list[str] = []
    completed = complete(
        drawing(("Eye_L", [square(ct, 5 + 0.2 / SPACING[2])])), ct, MODEL, organs(), warn=warnings.append
    )
    (item,) = completed.ROIContourSequence[0].ContourSequence
    assert item.ContourImageSequence[0].ReferencedSOPInstanceUID == ct.slices[5].sop_instance_uid
    assert float(item.ContourData[2]) == pytest.approx(ct.slices[5].position[2], abs=0.005)
    assert any("moved by up to 0.20 mm" in sentence for sentence in warnings)


def test_contours_without_area_go_and_are_counted(ct):
    rings = [square(ct, 5), square(ct, 6)[:1], square(ct, 6)[:2], np.repeat(square(ct, 7)[:2], 2, axis=0)]
    warnings: list[str] = []
    completed = complete(drawing(("Eye_L", rings), ("Eye_R", rings[1:])), ct, MODEL, organs(), warn=warnings.append)
    assert [item.ROIName for item in completed.StructureSetROISequence] == ["Eye_L"]
    assert len(completed.ROIContourSequence[0].ContourSequence) == 1
    assert any(sentence.startswith("6 contours of fewer than three points") for sentence in warnings)
    assert any("Eye_R has no contour" in sentence for sentence in warnings)


def test_a_ring_in_a_ring_becomes_a_keyhole(ct, tmp_path):
    rings = [square(ct, 5, (20, 20), (40, 40)), square(ct, 5, (24.5, 25.5), (30.5, 33.5)), square(ct, 8)]
    warnings: list[str] = []
    completed = complete(drawing(("Brainstem", rings)), ct, MODEL, organs(), warn=warnings.append)
    assert any("taken as holes" in sentence for sentence in warnings)
    assert len(completed.ROIContourSequence[0].ContourSequence) == 2
    write(completed, tmp_path / "rtstruct.dcm")
    mask = plastimatch_masks(tmp_path / "rtstruct.dcm", ct.slices[0].path.parent, ct, tmp_path / "read")["Brainstem"]
    assert mask[5, 22, 22]
    assert not mask[5, 29, 27]
    assert mask[5, 35, 35]


def test_organs_of_ones_own_are_kept_as_manual(ct):
    rois = [(name, [square(ct, 5)]) for name in ("GTVp", "PTV_70", "Mandible", "Brainstem")]
    completed = complete(drawing(*rois), ct, MODEL, organs())
    kinds = {
        item.ROIName: (item.ROIGenerationAlgorithm, seen.RTROIInterpretedType)
        for item, seen in zip(completed.StructureSetROISequence, completed.RTROIObservationsSequence, strict=True)
    }
    assert kinds == {
        "GTVp": ("MANUAL", "GTV"),
        "PTV_70": ("MANUAL", "PTV"),
        "Mandible": ("MANUAL", "ORGAN"),
        "Brainstem": ("AUTOMATIC", "ORGAN"),
    }
    colors = [tuple(item.ROIDisplayColor) for item in completed.ROIContourSequence]
    assert len(set(colors)) == 4
    lines = completed.StructureSetDescription.split("\r\n")
    assert "Eye_L: found, but no contour on any slice." in lines


def test_the_clinics_names_are_known_again(ct):
    names = Options(names=NameTable({"Eye_L": "Auge links"}))
    completed = complete(
        drawing(("Auge links", [square(ct, 5)]), ("Eye_R", [square(ct, 6)])), ct, MODEL, organs(), names
    )
    assert [item.ROIName for item in completed.StructureSetROISequence] == ["Auge links", "Eye_R"]
    assert [item.ROIGenerationAlgorithm for item in completed.StructureSetROISequence] == ["AUTOMATIC", "AUTOMATIC"]


def test_two_rois_of_one_name_are_refused(ct):
    with pytest.raises(UnusableInput, match="Two ROIs are called"):
        complete(drawing(("GTVp", [square(ct, 5)]), ("gtvp", [square(ct, 6)])), ct, MODEL, organs())


def test_open_contours_and_damaged_numbers_are_refused(ct):
    with pytest.raises(UnusableInput, match="OPEN_PLANAR"):
        complete(drawing(("Eye_L", [square(ct, 5)]), kind="OPEN_PLANAR"), ct, MODEL, organs())
    damaged = drawing(("Eye_L", [square(ct, 5)]))
    damaged.ROIContourSequence[0].ContourSequence[0].ContourData = [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(UnusableInput, match="damaged"):
        complete(damaged, ct, MODEL, organs())


def test_a_contour_that_explicit_vr_cannot_hold_is_refused_or_thinned_without_loss(ct):
    angle = np.linspace(0, 2 * np.pi, 6000, endpoint=False)
    circle = np.column_stack([40 * np.cos(angle), 40 * np.sin(angle), 0 * angle]) + square(ct, 5, (48, 48))[0]
    with pytest.raises(UnusableInput, match="more than DICOM can hold"):
        complete(drawing(("Brainstem", [circle])), ct, MODEL, organs())
    corners = square(ct, 5, (20, 20), (60, 60))
    steps = np.linspace(0, 1, 1000, endpoint=False)[:, None]
    dense = np.concatenate([a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    completed = complete(drawing(("Brainstem", [dense])), ct, MODEL, organs())
    points = completed.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints
    assert points < 100


def test_the_source_is_not_changed(ct):
    source = drawing(("Eye_L", [square(ct, 5)]))
    before = source.to_json()
    complete(source, ct, MODEL, organs())
    assert source.to_json() == before


def test_rings_that_cross_cannot_be_joined(ct):
    """A notch in the outline, and in it the leftmost point of a ring that lies inside for the rest."""
    notched = ring(ct, 5, (20, 20), (40, 20), (40, 40), (20, 40), (20, 32), (30, 32), (30, 28), (20, 28))
    crossing = ring(ct, 5, (25, 30), (34, 24), (38, 30), (34, 36))
    with pytest.raises(UnusableInput, match="Contours of Eye_L cross on slice"):
        complete(drawing(("Eye_L", [notched, crossing])), ct, MODEL, organs())
