"""Patient's and study's elements come out with the bytes they came with, whatever these are;
our own texts fit beside them."""

from __future__ import annotations

import copy
import subprocess

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.dicom.verbatim import Verbatim, read
from HNSegmenterLib.errors import HNSegmenterError, UnusableInput, WrongUsage
from HNSegmenterLib.rtstruct import NameTable, Roi, build, complete, trace, write, write_rtstruct
from HNSegmenterLib.rtstruct.character_set import CharacterSet
from HNSegmenterLib.rtstruct.encoding import dicom_file
from HNSegmenterLib.rtstruct.file import _require_equal
from Testing.machine import require_program
from Testing.phantoms import compress, head_phantom, write_ct_series
from Testing.raw_elements import element, put_bytes
from Testing.rtstruct.help import MODEL, head_organs, organs, result

SHAPE, SPACING = (24, 40, 40), (6.0, 6.0, 4.0)
KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
JAPANESE = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
VRS = {
    "SpecificCharacterSet": b"CS",
    "PatientName": b"PN",
    "PatientID": b"LO",
    "PatientBirthDate": b"DA",
    "PatientSex": b"CS",
    "StudyInstanceUID": b"UI",
    "StudyDescription": b"LO",
    "AccessionNumber": b"SH",
    "ReferringPhysicianName": b"PN",
    "PositionReferenceIndicator": b"LO",
}
HELD = {
    "Latin-1 called UTF-8": {
        "SpecificCharacterSet": b"ISO_IR 192",
        "PatientName": b"M\xfcller^J\xf6rg ",
        "StudyDescription": b"Sch\xe4del ",
    },
    "UTF-8 called Latin-1": {"SpecificCharacterSet": b"ISO_IR 100", "PatientName": "Müller^Jörg".encode() + b" "},
    "Korean without the empty first value": {"SpecificCharacterSet": b"ISO 2022 IR 149 ", "PatientName": KOREAN},
    "Japanese without it": {"SpecificCharacterSet": b"ISO 2022 IR 87", "PatientName": JAPANESE},
    "Korean with it": {
        "SpecificCharacterSet": b"\\ISO 2022 IR 149",
        "PatientName": KOREAN,
        "ReferringPhysicianName": KOREAN,
    },
    "Chinese": {"SpecificCharacterSet": b"GB18030 ", "PatientName": "Wang^XiaoDong=王^小东".encode("gb18030") + b" "},
    "Chinese cut in the middle of a letter": {
        "SpecificCharacterSet": b"GB18030 ",
        "PatientName": b"Wang^Xiao=\xcd\xf5^\xd0\xa1\xb6",
    },
    "an unknown character set": {"SpecificCharacterSet": b"ISO_IR 999", "PatientName": b"M\xfcller^J\xf6rg "},
    "a misspelt one": {"SpecificCharacterSet": b"ISO-IR 100", "PatientName": b"M\xfcller^J\xf6rg "},
    "one with two values that exclude each other": {
        "SpecificCharacterSet": b"ISO_IR 192\\ISO_IR 100 ",
        "PatientName": b"M\xfcller",
    },
    "a codec of Python's": {"SpecificCharacterSet": b"utf8", "PatientName": b"M\xfcller"},
    "a codec that is for no text": {
        "SpecificCharacterSet": b"hex ",
        "PatientName": b"M\xfcller",
        "PatientID": b"\xfc1",
    },
    "padding of all kinds": {
        "SpecificCharacterSet": b"ISO_IR 100\0\0",
        "PatientName": b" TEST^Phantom^^ \0\0",
        "PatientID": b"  ID 7   \0\0\0",
        "PatientSex": b"O\0",
        "StudyInstanceUID": b"1.2.840.007\0\0\0",
        "AccessionNumber": b"",
        "PositionReferenceIndicator": b" OM ",
    },
    "values out of form": {
        "SpecificCharacterSet": b"ISO_IR 100",
        "PatientBirthDate": b"19.7.1970 or so ",
        "PatientSex": b"male",
        "StudyInstanceUID": b"1.2.840.007 not a UID ",
        "StudyDescription": b"two\\values" + b"x" * 80,
        "AccessionNumber": b"longer than the sixteen that are allowed",
    },
}


def series(folder, tags=None, **variations):
    """A small head, with every element of VRS."""
    tags = {"PositionReferenceIndicator": "XY", "StudyDescription": "Phantom", **(tags or {})}
    return write_ct_series(folder, head_phantom(SHAPE, SPACING), SPACING, tags=tags, **variations)


def written(folder, names=None, outcome=None):
    """The folder's CT, the report and the file that is written for it."""
    ct = read_planning_ct(folder)
    report = write_rtstruct(
        ct, head_organs(ct), outcome or result(), folder / "out" / "rtstruct.dcm", names=NameTable(names or {})
    )
    return ct, report, report.path.read_bytes()


@pytest.mark.parametrize("held", HELD)
def test_the_bytes_come_out_as_they_came_in(held, tmp_path):
    put_bytes(series(tmp_path), HELD[held])
    _, report, content = written(tmp_path)
    for keyword, value in HELD[held].items():
        assert len(value) % 2 == 0, keyword
        assert element(keyword, VRS[keyword], value) in content, keyword
    assert report.warnings == [] and report.rois == list(head_organs(read_planning_ct(tmp_path)))
    assert element("ROIName", b"LO", b"Parotid_L ") in content


@pytest.mark.parametrize(
    "held", ["Latin-1 called UTF-8", "Korean without the empty first value", "padding of all kinds"]
)
def test_dcmdump_sees_the_same_bytes(held, tmp_path):
    put_bytes(series(tmp_path), HELD[held])
    _, report, _ = written(tmp_path)

    def dump(path):
        command = [
            require_program("dcmdump"),
            "+L",
            "-Un",
            *(word for keyword in HELD[held] for word in ("+P", keyword)),
            str(path),
        ]
        return subprocess.run(command, check=True, capture_output=True).stdout.splitlines()

    assert dump(report.path) == dump(tmp_path / "CT0001.dcm") and len(dump(report.path)) == len(HELD[held])


@pytest.mark.parametrize("syntax", ["implicit", "big-endian", "deflated"])
def test_whatever_the_transfer_syntax(syntax, tmp_path):
    """The texts within a sequence too, whose items are written anew."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113100", "DCM", "XXXXXXXX"
    tags = {"DeidentificationMethodCodeSequence": Sequence([code])}
    files = series(tmp_path, tags)
    held = HELD["Latin-1 called UTF-8"]
    put_bytes(files, held)
    for path in files:
        path.write_bytes(path.read_bytes().replace(b"XXXXXXXX", b"Sch\xe4del\0"))
    require_program("dcmconv")
    compress(files, syntax)
    _, _, content = written(tmp_path)
    for keyword, value in held.items():
        assert element(keyword, VRS[keyword], value) in content, keyword
    assert element("CodeMeaning", b"LO", b"Sch\xe4del\0") in content
    assert element("CodingSchemeDesignator", b"SH", b"DCM ") in content


def test_vrs_and_odd_lengths_are_put_right_and_nothing_else(tmp_path):
    files = series(tmp_path)
    put_bytes(files, {"PatientName": b"M\xfcller^Odd"})  # 10 bytes
    put_bytes(files, {"PatientID": b"ODD", "StudyInstanceUID": b"1.2.840.007", "SpecificCharacterSet": b"ISO_IR 19"})
    put_bytes(files, {"StudyDescription": b"Sch\xe4del?"}, vr=b"UN")
    put_bytes(files, {"ReferringPhysicianName": b"\xc4rztin"}, vr=b"OB")
    _, _, content = written(tmp_path)
    for keyword, value in (
        ("PatientName", b"M\xfcller^Odd"),
        ("PatientID", b"ODD "),
        ("StudyInstanceUID", b"1.2.840.007\0"),
        ("SpecificCharacterSet", b"ISO_IR 19 "),
        ("StudyDescription", b"Sch\xe4del?"),
        ("ReferringPhysicianName", b"\xc4rztin"),
    ):
        assert element(keyword, VRS[keyword], value) in content, keyword


def test_a_value_longer_than_its_vr_can_say_is_written_as_unknown(tmp_path):
    """PS3.5 6.2.2: from a file without VRs, whose lengths have four bytes."""
    files, value = series(tmp_path, transfer_syntax=ImplicitVRLittleEndian), b"\xe4" * 70_000
    put_bytes(files, {"StudyDescription": value})
    _, _, content = written(tmp_path)
    assert b"\x08\x00\x30\x10UN\0\0" + len(value).to_bytes(4, "little") + value in content


def test_a_damaged_sequence_is_left_out(tmp_path):
    code = Dataset()
    code.CodeValue = "113100"
    files = series(tmp_path, {"DeidentificationMethodCodeSequence": Sequence([code])})
    for path in files:
        data, head = path.read_bytes(), b"\x12\0\x64\0SQ\0\0"
        begin = data.index(head) + len(head)
        end = begin + 4 + int.from_bytes(data[begin : begin + 4], "little")
        path.write_bytes(data[:begin] + b"\4\0\0\0junk" + data[end:])
    _, _, content = written(tmp_path)
    assert b"\x12\0\x64\0" not in content and element("PatientID", b"LO", b"TEST-0001 ") in content


def test_reading_a_value_does_not_spoil_its_bytes(tmp_path):
    put_bytes(series(tmp_path), HELD["Latin-1 called UTF-8"])
    ct = read_planning_ct(tmp_path)
    assert (
        "M" in str(ct.header.PatientName)
        and "TEST-0001" in str(ct.header)
        and copy.deepcopy(ct.header).PatientID == "TEST-0001"
    )
    dataset = complete(build(ct, rois_of(ct)), ct, MODEL, organs())
    assert str(dataset.PatientName) and str(dataset) and [item.keyword for item in dataset]
    assert element("PatientName", b"PN", b"M\xfcller^J\xf6rg ") in dicom_file(copy.deepcopy(dataset))
    dataset.PatientName = "TEST^Other"
    assert element("PatientName", b"PN", b"TEST^Other") in dicom_file(dataset)


def rois_of(ct):
    drawn = head_organs(ct)
    return [Roi(organ.name, organ, trace(ct, drawn[organ.name])) for organ in organs()]


def test_the_read_back_compares_bytes(tmp_path):
    put_bytes(series(tmp_path), HELD["Latin-1 called UTF-8"])
    ct = read_planning_ct(tmp_path)
    dataset = complete(build(ct, rois_of(ct)), ct, MODEL, organs())
    content = dicom_file(dataset)
    _require_equal(dataset, read(content))
    for bytes_, other, keyword in (
        (b"M\xfcller", b"M\xf6ller", "PatientName"),  # of which pydicom reads the same
        (b"TEST-0001 ", b"TEST-0001\0", "PatientID"),
        (b"CS\x0a\0ISO_IR 192", b"CS\x0a\0ISO_IR 100", "SpecificCharacterSet"),
        (b"Parotid_L", b"Parotid_X", "ROIs"),
        (b"A clinician must", b"A physician must", "StructureSetDescription"),
    ):
        assert bytes_ in content
        with pytest.raises(HNSegmenterError, match=rf"\({keyword}\)"):
            _require_equal(dataset, read(content.replace(bytes_, other)))


def test_a_text_that_cannot_be_written_is_named_and_not_quoted(tmp_path):
    series(tmp_path)
    ct = read_planning_ct(tmp_path)
    dataset = complete(build(ct, rois_of(ct)), ct, MODEL, organs())
    item = dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    item["CodeMeaning"] = DataElement("CodeMeaning", "LO", {"SECRET": 1}, already_converted=True)
    with pytest.raises(HNSegmenterError, match="CodeMeaning") as fault:
        write(dataset, tmp_path / "out" / "rtstruct.dcm")
    assert "disk" not in fault.value.sentence and "SECRET" not in fault.value.sentence
    assert not (tmp_path / "out").exists()


PURE = {"PatientName": b"TEST^Phantom"}


@pytest.mark.parametrize(
    ("charset", "name", "stands"),
    [
        (b"ISO_IR 999", PURE, b"ISO_IR 100"),  # of plain ASCII: the clinic's names may choose
        (b"ISO 2022 IR 87", PURE, b"ISO_IR 100"),
        (b"ISO_IR 999", {"PatientName": b"M\xfcller"}, None),
        (b"ISO 2022 IR 87", {"PatientName": JAPANESE}, None),  # of ASCII's bytes, but not ASCII
        (b"\\ISO 2022 IR 87 ", {"PatientName": JAPANESE}, None),
        (b"ISO 2022 IR 149 ", {"PatientName": KOREAN}, None),
        (b"ISO_IR 6", {"PatientName": b"M\xfcller"}, None),
        (b"ISO_IR 192", {"PatientName": b"M\xfcller"}, b"ISO_IR 192"),
    ],
)
def test_our_own_texts_are_written_in_a_character_set_that_all_readers_know(charset, name, stands, tmp_path):
    put_bytes(series(tmp_path), {"SpecificCharacterSet": charset, **name})
    names = {"Parotid_L": "Ohrdrüse"}
    if stands is None:
        with pytest.raises(WrongUsage, match=r"Ohrdrüse.*character set"):
            written(tmp_path, names)
        return
    _, _, content = written(tmp_path, names)
    assert element("SpecificCharacterSet", b"CS", stands) in content
    codec = {b"ISO_IR 100": "latin-1", b"ISO_IR 192": "utf-8"}[stands]
    own = "Ohrdrüse".encode(codec)
    assert element("ROIName", b"LO", own + b" " * (len(own) % 2)) in content
    assert element("PatientName", b"PN", name["PatientName"] + b" " * (len(name["PatientName"]) % 2)) in content


def test_sentences_get_question_marks_where_the_character_set_is_none(tmp_path):
    put_bytes(series(tmp_path), HELD["an unknown character set"])
    outcome = result()
    outcome.organs[0].checks = ["Größer als ≤ 35 ml."]
    _, report, _ = written(tmp_path, outcome=outcome)
    assert b"Gr??er als ? 35 ml." in report.path.read_bytes()


@pytest.mark.parametrize(
    ("terms", "held", "not_held"),
    [
        ((), "Eye", "Äuge"),
        (("ISO_IR 6",), "Eye", "Äuge"),
        (("ISO_IR 100",), "Äuge", "Ωuge"),
        (("ISO 2022 IR 100",), "Äuge", "Ωuge"),
        (("ISO_IR 126",), "Ωuge", "Äuge"),
        (("ISO_IR 192",), "Äuge Ω 眼", None),
        (("GB18030",), "Äuge 眼", None),
        (("", "ISO 2022 IR 87"), "眼", "Äuge"),
        (("", "ISO 2022 IR 149"), "눈", "Äuge"),
        (("ISO 2022 IR 149",), "Eye", "눈"),
        (("ISO_IR 100", "ISO 2022 IR 149"), "Eye", "Äuge"),
        (("ISO 2022 IR 149", ""), "Eye", "눈"),
        (("latin-1",), "Eye", "Äuge"),
        (("utf-16",), "Eye", "Äuge"),
    ],
)
def test_what_a_character_set_holds(terms, held, not_held):
    stated = CharacterSet(terms)
    assert stated.holds(held) and stated.fitted(held) == held
    if not_held:
        assert not stated.holds(not_held)
        assert "?" in stated.fitted(not_held) and stated.holds(stated.fitted(not_held))


def test_a_foreign_names_letters_are_those_of_its_own_character_set(tmp_path):
    """Not of the CT's; and a name that does not fit it is refused, not mangled."""
    put_bytes(series(tmp_path), HELD["UTF-8 called Latin-1"] | {"SpecificCharacterSet": b"ISO_IR 192"})
    ct = read_planning_ct(tmp_path)
    drawn = build(ct, [Roi("Ohrdrüse", None, trace(ct, head_organs(ct)["Parotid_L"]))])
    drawn.SpecificCharacterSet, drawn.SOPClassUID, drawn.SOPInstanceUID = "ISO_IR 100", "1.2.3", "1.2.3.4"
    content = dicom_file(drawn)
    dataset = complete(pydicom.dcmread(_file(tmp_path, content)), ct, None, [])
    assert element("ROIName", b"LO", "Ohrdrüse".encode() + b" ") in dicom_file(dataset)
    wrong = content.replace(b"ISO_IR 100", b"ISO_IR 192")
    with pytest.raises(UnusableInput, match="name of ROI 1 cannot be read"):
        complete(pydicom.dcmread(_file(tmp_path, wrong)), ct, None, [])


def _file(folder, content):
    path = folder / "drawn.dcm"
    path.write_bytes(content)
    return path


def test_a_verbatim_element_that_is_given_a_value_holds_that():
    kept = Verbatim(0x00100020, "LO", b"ID \0", "ID")
    assert kept.value == "ID" and kept.content == b"ID \0"
    kept.value = "other"
    assert kept.value == "other" and kept.content is None
