"""What a completed RTSTRUCT says, element by element."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pydicom
import pytest

from HNSegmenterLib.errors import HNSegmenterError, RuntimeFault, UnusableInput, WrongUsage
from HNSegmenterLib.rtstruct import NameTable, Options, Roi, SliceContour, build, complete, trace, write, write_rtstruct
from Testing.rtstruct.help import (
    LEFT,
    MODEL,
    NAMES,
    dciodvfy_complaints,
    head_organs,
    labelmap,
    make_ct,
    organs,
    result,
)

SHAPE, SPACING = (24, 64, 64), (4.0, 4.0, 4.0)
SMALL = (24, 40, 40), (6.0, 6.0, 4.0)
REVIEW = "A clinician must review every contour."


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct"), SHAPE, SPACING)


@pytest.fixture(scope="module")
def labelmaps(ct):
    return head_organs(ct)


@pytest.fixture(scope="module")
def rois(ct, labelmaps):
    return [Roi(organ.name, organ, trace(ct, labelmaps[organ.name])) for organ in organs()]


def written(ct, labelmaps, outcome, folder, **kwargs):
    report = write_rtstruct(ct, labelmaps, outcome, folder / "rtstruct.dcm", **kwargs)
    return report, pydicom.dcmread(report.path)


def test_it_refers_to_the_original_ct_slice_by_slice(ct, labelmaps, tmp_path):
    _, dataset = written(ct, labelmaps, result(), tmp_path)
    assert dataset.StudyInstanceUID == ct.study_uid
    assert dataset.FrameOfReferenceUID == ct.frame_of_reference_uid
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert study.ReferencedSOPInstanceUID == ct.study_uid
    assert series.SeriesInstanceUID == ct.series_uid
    named = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in series.ContourImageSequence]
    assert named == [(slice_.sop_class_uid, slice_.sop_instance_uid) for slice_ in ct.slices]
    depth = {slice_.sop_instance_uid: slice_.position[2] for slice_ in ct.slices}
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            (image,) = contour.ContourImageSequence
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            assert np.allclose(points[:, 2], depth[image.ReferencedSOPInstanceUID], atol=0.01)
            assert contour.ContourGeometricType == "CLOSED_PLANAR"


def test_rois_are_named_coloured_and_coded(ct, labelmaps, tmp_path):
    _, dataset = written(ct, labelmaps, result(), tmp_path)
    assert [item.ROIName for item in dataset.StructureSetROISequence] == list(NAMES)
    for organ, roi, drawn, seen in zip(
        organs(),
        dataset.StructureSetROISequence,
        dataset.ROIContourSequence,
        dataset.RTROIObservationsSequence,
        strict=True,
    ):
        assert roi.ROINumber == drawn.ReferencedROINumber == seen.ReferencedROINumber
        assert roi.ReferencedFrameOfReferenceUID == ct.frame_of_reference_uid
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
        assert roi.ROIDescription.startswith(REVIEW)
        assert "hn-densevnet 0.1.0" in roi.ROIDescription
        assert "sha256:0123456789ab" in roi.ROIDescription
        assert tuple(drawn.ROIDisplayColor) == organ.color
        assert seen.RTROIInterpretedType == "ORGAN"
        assert seen.ROIInterpreter == ""
        (code,) = seen.RTROIIdentificationCodeSequence
        assert (code.CodeValue, code.CodingSchemeDesignator) == (organ.code["value"], "SCT")
        if organ.laterality:
            (side,) = code.SegmentedPropertyTypeModifierCodeSequence
            assert (side.CodeValue, side.CodeMeaning) == (organ.laterality["value"], organ.laterality["meaning"])
        else:
            assert "SegmentedPropertyTypeModifierCodeSequence" not in code
    left = dataset.RTROIObservationsSequence[2].RTROIIdentificationCodeSequence[0]
    assert left.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == LEFT["value"]


def test_label_model_and_review_are_stated(ct, labelmaps, tmp_path):
    _, dataset = written(ct, labelmaps, result(), tmp_path)
    assert len(dataset.StructureSetLabel) <= 16
    for part in (REVIEW, "hn-densevnet 0.1.0", MODEL["digest"], "not a medical device"):
        assert part in dataset.StructureSetDescription
    assert dataset.ApprovalStatus == "UNAPPROVED"
    assert dataset.Modality == "RTSTRUCT"
    assert dataset.Manufacturer == "HN Segmenter"
    assert dataset.OperatorsName == ""
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert dataset.SeriesInstanceUID != ct.series_uid
    assert dataset.StructureSetDate == dataset.SeriesDate == datetime.now().strftime("%Y%m%d")


def test_every_file_has_uids_of_its_own(ct, rois):
    one, two = (complete(build(ct, rois), ct, MODEL, [roi.organ for roi in rois]) for _ in range(2))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.SOPInstanceUID.startswith("2.25.")


def test_an_organ_without_contour_has_a_line_and_no_roi(ct, labelmaps, tmp_path):
    empty = labelmap(ct, np.zeros(SHAPE))
    given = {**labelmaps, "Parotid_R": empty, "SpinalCord": empty}
    outcome = result(Eye_L="not in this model", Eye_R="not in this model", Parotid_R="not found")
    report, dataset = written(ct, given, outcome, tmp_path)
    assert report.rois == ["Brainstem", "Parotid_L"]
    assert [item.ROIName for item in dataset.StructureSetROISequence] == report.rois
    lines = dataset.StructureSetDescription.split("\r\n")
    assert {"Eye_L: not in this model.", "Eye_R: not in this model.", "Parotid_R: not found."} <= set(lines)
    assert "SpinalCord: found, but no contour on any slice." in lines
    assert any("SpinalCord" in sentence for sentence in report.warnings)
    assert dciodvfy_complaints(report.path) == []


def test_nothing_is_written_without_any_contour(ct, tmp_path):
    with pytest.raises(UnusableInput, match="No organ has a contour"):
        write_rtstruct(ct, {}, result(**dict.fromkeys(NAMES, "not found")), tmp_path / "rtstruct.dcm")
    assert list(tmp_path.iterdir()) == []


def test_descriptions_keep_to_1024_characters(ct, labelmaps, tmp_path):
    outcome = result()
    outcome.organs[0].checks = [f"Sentence {n} of many about the brainstem." for n in range(60)]
    outcome.organs += [type(outcome.organs[0])(f"Organ_{n}", 7 + n, (1, 2, 3), status="not found") for n in range(80)]
    _, dataset = written(ct, labelmaps, outcome, tmp_path)
    assert len(dataset.StructureSetDescription) <= 1024
    lines = dataset.StructureSetDescription.split("\r\n")
    listed = sum(line.endswith(": not found.") for line in lines)
    assert lines[-1] == f"And {80 - listed} more organs without a contour."
    assert MODEL["digest"][:19] in dataset.StructureSetDescription
    text = dataset.StructureSetROISequence[0].ROIDescription
    assert len(text) <= 1024
    assert "Sentence 0 of many" in text
    assert text.endswith("...")


def test_checks_are_in_the_roi_description(ct, labelmaps, tmp_path):
    outcome = result()
    outcome.organs[2].checks = ["Left parotid touches the lowest slice: the scan may be cut there."]
    _, dataset = written(ct, labelmaps, outcome, tmp_path)
    assert outcome.organs[2].checks[0] in dataset.StructureSetROISequence[2].ROIDescription
    assert "lowest slice" not in dataset.StructureSetROISequence[3].ROIDescription


def test_the_clinics_names_and_a_warning_for_unknown_ones(ct, labelmaps, tmp_path):
    names = NameTable({"Parotid_L": "Parotis li.", "Eye_R": "Auge rechts", "Lens_L": "Linse links"})
    report, dataset = written(ct, labelmaps, result(Eye_R="not found"), tmp_path, names=names)
    assert report.rois == ["Brainstem", "SpinalCord", "Parotis li.", "Parotid_R", "Eye_L"]
    assert "Auge rechts: not found." in dataset.StructureSetDescription
    assert any("Lens_L" in sentence for sentence in report.warnings)
    code = dataset.RTROIObservationsSequence[2].RTROIIdentificationCodeSequence[0]
    assert code.CodeMeaning == "Parotid gland"


PATIENTS = {
    "ISO_IR 100": "Muñoz^José^^TEST",
    "ISO_IR 192": "Ōtsuka^試験^^TEST",
    "ISO_IR 144": "Тестов^Фантом",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 6\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "GB18030": "Wang^XiaoDong=王^小东",
}


@pytest.mark.parametrize("character_set", PATIENTS)
def test_the_patients_name_is_carried_byte_by_byte(character_set, tmp_path):
    stated = character_set.split("\\") if "\\" in character_set else character_set
    tags = {
        "SpecificCharacterSet": stated,
        "PatientName": PATIENTS[character_set],
        "ReferringPhysicianName": PATIENTS[character_set],
    }
    ct = make_ct(tmp_path / "ct", *SMALL, tags=tags)
    report, dataset = written(ct, head_organs(ct), result(), tmp_path)
    original = pydicom.dcmread(ct.slices[0].path)
    assert dataset.SpecificCharacterSet == original.SpecificCharacterSet
    for keyword in ("PatientName", "ReferringPhysicianName"):
        assert dataset.get_item(keyword).value == original.get_item(keyword).value
    assert str(dataset.PatientName) == str(original.PatientName) == PATIENTS[character_set]
    assert [line for line in dciodvfy_complaints(report.path) if "haracter" in line] == []


def test_patient_and_study_are_those_of_the_ct(tmp_path):
    tags = {
        "PatientID": "TEST-Ñ-77",
        "PatientBirthDate": "",
        "StudyDescription": "Prüfung Kopf-Hals",
        "AccessionNumber": "A-1",
        "StudyID": "S 9",
        "PatientComments": "must stay in the CT",
        "InstitutionName": "must stay in the CT",
    }
    ct = make_ct(tmp_path / "ct", *SMALL, tags=tags)
    _, dataset = written(ct, head_organs(ct), result(), tmp_path)
    for keyword in (
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDescription",
        "AccessionNumber",
        "StudyID",
        "StudyDate",
    ):
        assert dataset[keyword].value == ct.header[keyword].value, keyword
    assert "must stay" not in str(dataset)


def test_own_names_beyond_ascii_get_a_character_set_that_holds_them(tmp_path):
    names = NameTable({"Eye_L": "Ojo izquierdo año"})
    ascii_only = make_ct(tmp_path / "ascii", *SMALL, tags={"SpecificCharacterSet": None})
    _, dataset = written(ascii_only, head_organs(ascii_only), result(), tmp_path, names=names)
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    assert dataset.StructureSetROISequence[4].ROIName == "Ojo izquierdo año"
    _, dataset = written(ascii_only, head_organs(ascii_only), result(), tmp_path, names=NameTable({"Eye_L": "左眼"}))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.StructureSetROISequence[4].ROIName == "左眼"
    _, dataset = written(ascii_only, head_organs(ascii_only), result(Eye_L="not found"), tmp_path, names=names)
    assert "Ojo izquierdo año: not found." in dataset.StructureSetDescription
    tags = {"SpecificCharacterSet": "ISO_IR 144", "PatientName": PATIENTS["ISO_IR 144"]}
    cyrillic = make_ct(tmp_path / "cyrillic", *SMALL, tags=tags)
    with pytest.raises(WrongUsage, match="character set"):
        written(cyrillic, head_organs(cyrillic), result(), tmp_path, names=names)


def test_a_sentence_beyond_the_character_set_becomes_question_marks(tmp_path):
    ct = make_ct(tmp_path / "ct", *SMALL)
    outcome = result()
    outcome.organs[0].checks = ["Größer als 35 ml, \u226430 expected."]
    _, dataset = written(ct, head_organs(ct), outcome, tmp_path)
    assert "Größer als 35 ml, ?30 expected." in dataset.StructureSetROISequence[0].ROIDescription


def test_a_ct_without_frame_of_reference_is_refused(ct, rois):
    from dataclasses import replace

    with pytest.raises(UnusableInput, match="no Frame of Reference"):
        complete(build(ct, rois), replace(ct, frame_of_reference_uid=""), MODEL, organs())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(label="Longer than sixteen"), "1 to 16 characters"),
        (Options(label=""), "1 to 16 characters"),
        (Options(series_description="x" * 65), "65 characters"),
        (Options(algorithms={"Eye_L": "GUESSED"}), "no ROI Generation Algorithm"),
    ],
)
def test_options_that_cannot_be_written_are_refused(options, reason, ct, rois):
    with pytest.raises(WrongUsage, match=reason):
        complete(build(ct, rois), ct, MODEL, organs(), options)


def test_a_failed_write_leaves_nothing(ct, rois, tmp_path):
    dataset = complete(build(ct, rois), ct, MODEL, organs())
    (tmp_path / "in_the_way").write_text("a file where a folder should be")
    with pytest.raises(HNSegmenterError, match="could not be written"):
        write(dataset, tmp_path / "in_the_way" / "rtstruct.dcm")
    (tmp_path / "rtstruct.dcm").mkdir()
    with pytest.raises(HNSegmenterError, match="could not be written"):
        write(dataset, tmp_path / "rtstruct.dcm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in_the_way", "rtstruct.dcm"]


def test_points_read_back_are_the_points_traced(ct, rois, tmp_path):
    write(complete(build(ct, rois), ct, MODEL, organs()), tmp_path / "rtstruct.dcm")
    dataset = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    for roi, drawn in zip(rois, dataset.ROIContourSequence, strict=True):
        for contour, item in zip(roi.contours, drawn.ContourSequence, strict=True):
            assert isinstance(contour, SliceContour)
            assert np.array_equal(np.array(item.ContourData, float).reshape(-1, 3), contour.points)


def test_an_organ_that_was_found_must_have_its_labelmap(ct, labelmaps, tmp_path):
    given = {name: image for name, image in labelmaps.items() if name != "Eye_L"}
    with pytest.raises(RuntimeFault, match="Eye_L was found, but its labelmap is missing"):
        write_rtstruct(ct, given, result(), tmp_path / "rtstruct.dcm")


def test_a_ct_that_lacks_patient_and_study_values(tmp_path):
    """What should be there even if empty is there; what the CT does not say is not made up."""
    absent = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
    ct = make_ct(tmp_path / "ct", *SMALL, tags={**dict.fromkeys(absent), "SpecificCharacterSet": ""})
    report, dataset = written(ct, head_organs(ct), result(), tmp_path)
    assert [keyword for keyword in absent if dataset.get(keyword, "missing")] == []
    assert "SpecificCharacterSet" not in dataset
    assert all("needed to build DICOMDIR" in line for line in dciodvfy_complaints(report.path))


def test_no_value_of_the_patient_reaches_a_log(tmp_path, caplog, recwarn, capfd):
    tags = {
        "PatientName": "TEST^UNIQUENAME",
        "PatientBirthDate": "19.7.1970 UNIQUE",
        "AccessionNumber": "UNIQUE-LONGER-THAN-16",
    }
    ct = make_ct(tmp_path / "ct", *SMALL, tags=tags)
    recwarn.clear()
    capfd.readouterr()
    caplog.clear()
    _, dataset = written(ct, head_organs(ct), result(), tmp_path)
    assert "UNIQUENAME" in str(dataset.PatientName)
    said = [str(warning.message) for warning in recwarn] + [caplog.text, *capfd.readouterr()]
    assert not any("UNIQUE" in text for text in said)


def test_of_several_models_none_is_said_to_have_drawn_what_is_no_organ(ct, rois):
    """A target may have been made of either's organ."""
    other = {"name": "other", "version": "2", "digest": "sha256:" + "8" * 64}
    drawn = organs()
    drawn[1].model = other
    target = Roi("GTVp", None, rois[1].contours)
    options = Options(algorithms={"GTVp": "SEMIAUTOMATIC"})
    for of, said in ((organs(), "Drawn by hn-densevnet 0.1.0"), (drawn, "Drawn by an automatic method")):
        dataset = complete(build(ct, [*rois[:2], target]), ct, dict(MODEL), of, options, print)
        *_, item = dataset.StructureSetROISequence
        assert item.ROIName == "GTVp" and f"{said}, then edited by hand." in item.ROIDescription
        assert ("ROIDerivationAlgorithmIdentificationSequence" in item) == (of is not drawn)
        assert ("ROIGenerationDescription" in item) == (of is not drawn)
