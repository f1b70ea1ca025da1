"""Elements that are empty, twice there or garbage: the series is read as what it is, or refused in a sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from HNSegmenterLib.dicom import PlanningCT, read_planning_ct
from HNSegmenterLib.dicom.headers import KEYWORDS
from HNSegmenterLib.errors import UnusableInput
from Testing.machine import require_program
from Testing.phantoms import compress, head_phantom, write_ct_series

SPACING = (6.0, 6.0, 4.0)
HEAD = head_phantom((22, 36, 36), SPACING)
EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian).encode(), str(ImplicitVRLittleEndian).encode()
SYNTAX = b"\x02\x00\x10\x00UI"  # Transfer Syntax UID, explicit VR


def say_syntax(path: Path, value: bytes | None) -> None:
    """Put these very bytes into the Transfer Syntax UID; None takes the element out."""
    content = path.read_bytes()
    start = content.index(SYNTAX)
    end = start + 8 + struct.unpack("<H", content[start + 6 : start + 8])[0]
    said = b"" if value is None else SYNTAX + struct.pack("<H", len(value)) + value
    path.write_bytes(content[:start] + said + content[end:])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (ExplicitVRLittleEndian, b""),
        (ImplicitVRLittleEndian, b""),
        (ExplicitVRLittleEndian, None),
        (ImplicitVRLittleEndian, None),
        (ExplicitVRLittleEndian, EXPLICIT + b"\\" + EXPLICIT + b"\0"),
        (ExplicitVRLittleEndian, IMPLICIT + b"\\" + EXPLICIT),
        (ImplicitVRLittleEndian, EXPLICIT + b"\\" + IMPLICIT),
        (ExplicitVRLittleEndian, EXPLICIT + b" "),
        (ExplicitVRLittleEndian, EXPLICIT + b"\0\0\0"),
        (ImplicitVRLittleEndian, EXPLICIT + b"\0"),
    ],
)
def test_a_native_file_is_read_whatever_it_calls_itself(tmp_path, written, said):
    for path in write_ct_series(tmp_path, HEAD, SPACING, transfer_syntax=written):
        say_syntax(path, said)
    ct = read_planning_ct(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ct.image), HEAD)
    assert not ct.warnings


def test_big_endian_is_told_from_the_bytes(tmp_path):
    require_program("dcmconv")
    files = write_ct_series(tmp_path, HEAD, SPACING)
    compress(files, "big-endian")
    for path in files:
        say_syntax(path, None)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_planning_ct(tmp_path).image), HEAD)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"1.2.3.4 ", "CT0001.dcm of series .* is compressed as 1.2.3.4, which cannot be read"),
        (b"\xff\xfeMILLER", "CT0001.dcm of series .* names an unknown transfer syntax, which cannot be read"),
        (
            EXPLICIT + b"\\1.2.840.10008.1.2.4.70",
            "CT0001.dcm of series .* names several transfer syntaxes, which cannot be read",
        ),
    ],
)
def test_another_syntax_is_refused(tmp_path, said, sentence):
    say_syntax(write_ct_series(tmp_path, HEAD, SPACING)[0], said)
    with pytest.raises(UnusableInput, match=sentence) as refusal:
        read_planning_ct(tmp_path)
    assert "MILLER" not in refusal.value.sentence


@pytest.mark.parametrize("said", [b"", EXPLICIT + b"\0"])
def test_compressed_pixels_are_not_taken_for_values(tmp_path, said):
    require_program("dcmcjpeg")
    files = write_ct_series(tmp_path, HEAD, SPACING)
    compress(files[:1], "jpeg-lossless")
    say_syntax(files[0], said)
    with pytest.raises(
        UnusableInput, match=r"CT0001.dcm has compressed pixels, but its Transfer Syntax UID does not say how"
    ):
        read_planning_ct(tmp_path)


def twice(value: bytes, keyword: str) -> bytes:
    if dictionary_VR(keyword).split()[0] in ("US", "SS", "OB"):
        return value + value
    text = value.rstrip(b" \0")
    return text + b"\\" + text + b" " * ((len(text) * 2 + 1) % 2)


CHANGES = {
    "empty": lambda value, keyword: b"",
    "twice": twice,
    "garbage": lambda value, keyword: b"\xff\xfe\x01\\\x00\x1b",
    "huge": lambda value, keyword: b"-1e300",
}


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> tuple[Path, list[Path], list[bytes]]:
    folder = tmp_path_factory.mktemp("odd")
    files = write_ct_series(folder, HEAD, SPACING)
    return folder, files, [path.read_bytes() for path in files]


LONG = (b"OB", b"OW", b"UN", b"SQ", b"UT")  # VRs with a length of 32 bits


def elements(data: bytes) -> dict[int, bytes]:
    """Tag -> the element's bytes, of an explicit VR little endian data set without sequences."""
    found, at = {}, 0
    while at < len(data):
        group, element = struct.unpack_from("<HH", data, at)
        head, kind = (12, "<I") if data[at + 4 : at + 6] in LONG else (8, "<H")
        end = at + head + struct.unpack_from(kind, data, at + (8 if head == 12 else 6))[0]
        found[group << 16 | element] = data[at:end]
        at = end
    return found


def spoil(path: Path, keyword: str, change) -> None:
    """Change the bytes of one value, as no writer would let us."""
    content, tag = path.read_bytes(), tag_for_keyword(keyword)
    there = elements(content[132:])
    vr = dictionary_VR(keyword).split()[0].encode()
    head = 12 if vr in LONG else 8
    value = change(there[tag][head:] if tag in there else b"1 ", keyword)
    length = struct.pack("<HI", 0, len(value)) if head == 12 else struct.pack("<H", len(value))
    there[tag] = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + length + value
    path.write_bytes(content[:132] + b"".join(there[tag] for tag in sorted(there)))


@pytest.mark.parametrize("keyword", [*KEYWORDS, "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData"])
def test_any_odd_element_ends_in_a_ct_or_in_a_sentence(series, keyword):
    folder, files, contents = series
    for change in CHANGES.values():
        for path, content in zip(files[:2], contents):
            path.write_bytes(content)
        spoil(files[0], keyword, change)
        try:
            assert isinstance(read_planning_ct(folder), PlanningCT)
        except UnusableInput as refusal:
            assert refusal.sentence.endswith(".")
    files[0].write_bytes(contents[0])


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "Rows"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_slice_is_not_lost_in_silence_by_an_odd_element(series, keyword, change):
    """Slice 1 lies at an end, where no gap would show that it is not there."""
    folder, files, contents = series
    files[0].write_bytes(contents[0])
    spoil(files[0], keyword, CHANGES[change])
    try:
        ct = read_planning_ct(folder)
        assert len(ct.slices) == len(files) or ct.warnings
    except UnusableInput as refusal:
        assert "CT0001.dcm" in refusal.sentence
    files[0].write_bytes(contents[0])


@pytest.mark.parametrize("spoiled", [1, 12, 22], ids=["one", "half", "all"])
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", b"1e300\\-1e300\\1.7e308 "),
        ("ImagePositionPatient", b"0\\0\\0 "),
        ("ImagePositionPatient", b""),
        ("ImageOrientationPatient", b"0\\0\\0\\0\\0\\0 "),
        ("ImageOrientationPatient", b"1e300\\0\\0\\0\\1e300\\0 "),
        ("PixelSpacing", b"1e300\\1e-300"),
        ("SliceThickness", b"1e-300"),
        ("SliceLocation", b"1e308 "),
        ("AcquisitionTime", b"9" * 400),
        ("InstanceNumber", b"-99999999999 "),
        ("SOPInstanceUID", b"1.2 "),
    ],
)
def test_absurd_numbers_end_in_a_ct_or_in_a_sentence(series, keyword, value, spoiled):
    folder, files, contents = series
    for path, content in zip(files, contents):
        path.write_bytes(content)
    for path in files[:spoiled]:
        spoil(path, keyword, lambda old, word: value)
    try:
        assert isinstance(read_planning_ct(folder), PlanningCT)
    except UnusableInput as refusal:
        assert refusal.sentence.endswith(".")
    for path, content in zip(files, contents):
        path.write_bytes(content)


def test_a_file_without_series_is_warned_about(series):
    folder, files, contents = series
    spoil(files[-1], "SeriesInstanceUID", CHANGES["empty"])
    ct = read_planning_ct(folder)
    files[-1].write_bytes(contents[-1])
    assert ct.warnings == [
        f"1 file beside series {ct.series_uid} without Series Instance UID: check that no slice is missing at its ends."
    ]
