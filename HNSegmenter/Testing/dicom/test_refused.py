"""Every kind of DICOM input that would give a wrong contour is refused in a sentence, and left as it was."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage, generate_uid

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from Testing.machine import require_program
from Testing.phantoms import compress, edit, head_phantom, save, write_ct_series

SHAPE, SPACING = (28, 48, 48), (5.0, 5.0, 4.0)
CORONAL, SAGITTAL = (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
MR, PET, SECONDARY, RT_DOSE = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("4", "128", "7", "481.2"))


def ct(folder: Path, count: int = SHAPE[0], **variations) -> list[Path]:
    return write_ct_series(
        folder, head_phantom((count, *SHAPE[1:]), SPACING), variations.pop("spacing", SPACING), **variations
    )


def tagged(**tags) -> Callable[[Path], None]:
    """Every slice has these attributes."""
    return lambda folder: ct(folder, tags=tags)


def one(**tags) -> Callable[[Path], None]:
    """Only slice 7 has these attributes."""
    return lambda folder: ct(folder, overrides={7: tags})


def without(*lost: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        files = ct(folder)
        for k in lost:
            files[k].unlink()

    return write


def spaced(*steps: float, **variations) -> Callable[[Path], None]:
    """Distances between slices in mm, repeated to the end."""

    def write(folder: Path) -> None:
        z = np.cumsum([0, *np.resize(steps, SHAPE[0] - 1)])
        ct(folder, positions=np.column_stack([0 * z, 0 * z, z]), **variations)

    return write


def patched(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Bytes changed in the file of slice 7, as a damaged writer would."""

    def write(folder: Path) -> None:
        path = ct(folder)[7]
        assert len(old) == len(new) and path.read_bytes().count(old) == 1
        path.write_bytes(path.read_bytes().replace(old, new))

    return write


def cut_off(folder: Path) -> None:
    path = ct(folder)[7]
    path.write_bytes(path.read_bytes()[:-1000])


def cut_off_deflated(folder: Path) -> None:
    files = ct(folder, transfer_syntax=DeflatedExplicitVRLittleEndian)
    files[7].write_bytes(files[7].read_bytes()[:-100])


def broken_jpeg(folder: Path) -> None:
    require_program("dcmcjpeg")
    files = ct(folder)
    compress(files[7:8], "jpeg-lossless")
    data = bytearray(files[7].read_bytes())
    data[-300:-100] = b"\xff" * 200
    files[7].write_bytes(data)


def lying_jpeg(folder: Path) -> None:
    require_program("dcmcjpeg")
    files = ct(folder)
    compress(files, "jpeg-lossless")
    for path in files:
        edit(path, Rows=SHAPE[1] + 1)


def mpeg(folder: Path) -> None:
    files = ct(folder)
    dataset = pydicom.dcmread(files[7])
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(str(files[7]))


def two_phases(folder: Path) -> None:
    uid = generate_uid(None)
    ct(folder, tags={"SeriesInstanceUID": uid, "FrameOfReferenceUID": uid, "StudyInstanceUID": uid})
    other = {"SeriesInstanceUID": uid, "FrameOfReferenceUID": uid, "StudyInstanceUID": uid, "AcquisitionNumber": 2}
    write_ct_series(folder, head_phantom(SHAPE, SPACING) + 7, SPACING, tags=other, prefix="CU")


def copied_aside(folder: Path) -> None:
    """A copy of slice 7 that says to lie 10 mm further to the left."""
    files = ct(folder)
    (folder / "copy.dcm").write_bytes(files[7].read_bytes())
    edit(folder / "copy.dcm", ImagePositionPatient=[10, 0, 28], SOPInstanceUID=generate_uid(None))


def interleaved(folder: Path) -> None:
    z = np.sort([*np.arange(0, 60, 4.0), *np.arange(31, 90, 4.0)])
    numbers = {k: {"AcquisitionNumber": 1 + int(value % 4 == 3)} for k, value in enumerate(z)}
    ct(folder, len(z), positions=np.column_stack([0 * z, 0 * z, z]), overrides=numbers)


def one_uid_for_two(folder: Path) -> None:
    files = ct(folder)
    edit(files[7], SOPInstanceUID=pydicom.dcmread(files[8]).SOPInstanceUID)


def two_series(folder: Path) -> None:
    ct(folder / "one")
    ct(folder / "two")


def archives(folder: Path) -> None:
    files = ct(folder)
    with zipfile.ZipFile(folder / "ct.zip", "w") as archive:
        for path in files:
            archive.write(path)
            path.unlink()


def junk(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    (folder / "secret.dcm").write_bytes(b"\x30\x82" + bytes(range(256)) * 9)  # a CMS envelope: an encrypted file
    (folder / "empty.dcm").touch()


def dose(folder: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = (
        RT_DOSE,
        generate_uid(None),
        generate_uid(None),
    )
    dataset.Modality, dataset.PatientName = "RTDOSE", "TEST^Phantom"
    save(dataset, folder / "dose.dcm")


def coarse(folder: Path) -> None:
    ct(folder, spacing=(5.0, 5.0, 12.0))


REFUSED = {
    "MR": (tagged(Modality="MR", SOPClassUID=MR), "modality is MR"),
    "PET": (tagged(Modality="PT", SOPClassUID=PET), "modality is PT"),
    "dose": (dose, "modality is RTDOSE"),
    "modalities mixed": (one(Modality="MR"), "CT0001.dcm and CT0008.dcm .*different modalities"),
    "localizer": (tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "is a localizer"),
    "MIP": (tagged(ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"]), r"computed from a scan \(MIP\)"),
    "secondary capture": (tagged(SOPClassUID=SECONDARY), "secondary captures"),
    "enhanced CT": (tagged(SOPClassUID=EnhancedCTImageStorage), "multi-frame"),
    "several frames": (tagged(NumberOfFrames=2), "multi-frame"),
    "coronal": (lambda folder: ct(folder, orientation=CORONAL), "coronal reformat"),
    "sagittal": (lambda folder: ct(folder, orientation=SAGITTAL), "sagittal reformat"),
    "five slices": (lambda folder: ct(folder, 5), "only 5 slices"),
    "54 mm": (lambda folder: ct(folder, spacing=(5.0, 5.0, 2.0)), "only 54 mm long"),
    "one position": (lambda folder: ct(folder, positions=np.zeros((28, 3))), "only 1 slice position"),
    "no series UID": (tagged(SeriesInstanceUID=None), "no Series Instance UID"),
    "no SOP UID": (patched(b"\x08\x00\x18\x00UI", b"\x09\x00\x18\x00UI"), "CT0008.dcm .*no SOP Instance UID"),
    "no study UID": (one(StudyInstanceUID=None), "CT0008.dcm .*no Study Instance UID"),
    "no frame of reference": (one(FrameOfReferenceUID=None), "CT0008.dcm .*no Frame of Reference UID"),
    "frames of reference mixed": (one(FrameOfReferenceUID=generate_uid(None)), "different Frames of Reference"),
    "patients mixed": (one(PatientID="TEST-0002"), "CT0001.dcm and CT0008.dcm .*different patients"),
    "studies mixed": (one(StudyInstanceUID=generate_uid(None)), "different studies"),
    "slice missing": (without(7), "1 slice is missing .* between z = 24.0 and 32.0 mm"),
    "slices missing": (without(7, 8, 15), "3 slices are missing .* z = 24.0 and 36.0 mm; z = 56.0 and 64.0 mm"),
    "every other slice missing in a part": (without(9, 11, 13, 15, 17), "5 slices are missing"),
    "slice missing next to an end": (without(1), "1 slice is missing .* z = 0.0 and 8.0"),
    "slices 12 mm apart": (coarse, "12 mm apart"),
    "one distance of 11 mm": (spaced(*[3.0] * 10, *[11.0] * 17), "up to 11.0 mm apart"),
    "acquisitions interleaved": (interleaved, "mixes several acquisitions"),
    "orientations mixed": (one(ImageOrientationPatient=[1, 0, 0, 0, 0.995, 0.0998]), "different orientations"),
    "axes not perpendicular": (tagged(ImageOrientationPatient=[1, 0, 0, 0.5, 0.866, 0]), "not perpendicular"),
    "orientation all 0": (tagged(ImageOrientationPatient=[0] * 6), "CT0001.dcm .*not perpendicular"),
    "axes parallel": (tagged(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "CT0001.dcm .*not perpendicular"),
    "no orientation": (one(ImageOrientationPatient=None), "CT0008.dcm .*no usable Image Orientation"),
    "no position": (one(ImagePositionPatient=None), "CT0008.dcm .*no usable Image Position"),
    "position NaN": (patched(b"0\\0\\28", b"0\\nan "), "CT0008.dcm .*no usable Image Position"),
    "position unreadable": (patched(b"0\\0\\28", b"0\\0\\x8"), "CT0008.dcm .*no usable Image Position"),
    "sizes mixed": (
        lambda folder: ct(folder, overrides={7: {"HU": np.zeros((48, 40))}}),
        r"different sizes \(48 x 48 and 40 x 48",
    ),
    "pixel spacings mixed": (one(PixelSpacing=[5, 4.9]), "different pixel spacings"),
    "no pixel spacing": (one(PixelSpacing=None), "CT0008.dcm .*no usable Pixel Spacing"),
    "pixel spacing 0": (one(PixelSpacing=[0, 0]), "absurd Pixel Spacing"),
    "pixel spacing 50 mm": (tagged(PixelSpacing=[50, 50]), "absurd Pixel Spacing"),
    "no rows": (one(Rows=0), "CT0008.dcm .*is 48 x 0 pixels"),
    "no rescale": (one(RescaleSlope=None, RescaleIntercept=None), "CT0008.dcm .*Hounsfield units are unknown"),
    "slope 0": (one(RescaleSlope=0), "Hounsfield units are unknown"),
    "slope below 0": (one(RescaleSlope=-1), "Hounsfield units are unknown"),
    "effective atomic number": (tagged(RescaleType="Z_EFF"), "in Z_EFF"),
    "values from 0": (tagged(RescaleIntercept=0), "not those of a CT"),
    "only air": (lambda folder: write_ct_series(folder, np.full(SHAPE, -1000), SPACING), "no soft tissue"),
    "monochrome 1": (
        one(PhotometricInterpretation="MONOCHROME1"),
        "CT0008.dcm .*not a greyscale CT image .*MONOCHROME1",
    ),
    "colour": (tagged(PhotometricInterpretation="RGB", SamplesPerPixel=3), "not a greyscale CT image .*3 samples"),
    "8 bits": (tagged(BitsAllocated=8, BitsStored=8, HighBit=7), "8 bits a pixel"),
    "bits unknown": (one(BitsStored=None), "how its pixels are stored"),
    "no pixel data": (one(PixelData=None), "CT0008.dcm has no pixel data"),
    "cut off": (cut_off, "CT0008.dcm .*(cut off|to its end|no pixel data)"),
    "deflated, cut off": (cut_off_deflated, "CT0008.dcm|1 slice is missing"),
    "broken JPEG": (broken_jpeg, "CT0008.dcm has compressed pixels that cannot be decoded"),
    "JPEG of another size": (lying_jpeg, "holds 48 x 48 pixels where its header says 48 x 49"),
    "MPEG": (mpeg, "CT0008.dcm .*compressed as MPEG2"),
    "two phases": (two_phases, r"two different images at z = 0.0 mm \(acquisition 1 and 2\)"),
    "same pixels at two places": (copied_aside, "CT0008.dcm and copy.dcm are two different images at z = 28.0 mm"),
    "one UID for two images": (one_uid_for_two, "same SOP Instance UID"),
    "two CT series": (two_series, "2 CT series that could be .*--series"),
    "archive": (archives, "1 archives, which are not opened"),
    "junk and encrypted files": (junk, "3 files that are not DICOM"),
    "empty folder": (lambda folder: None, "it holds nothing"),
}


@pytest.mark.parametrize(("write", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused_in_a_sentence_and_untouched(tmp_path, write, expected, capfd):
    write(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(UnusableInput) as refusal:
        read_planning_ct(tmp_path)
    sentence = refusal.value.sentence
    assert re.search(expected, sentence), sentence
    assert "\n" not in sentence and sentence.endswith(".") and "TEST" not in sentence
    assert digests(tmp_path) == before
    printed = "".join(capfd.readouterr())  # libjpeg and others print from C, but know no names
    assert not re.search(r"TEST|CT0|\.dcm|Traceback|Warning", printed), printed


def test_path_that_is_not_there(tmp_path):
    with pytest.raises(UnusableInput, match="is no file or folder"):
        read_planning_ct(tmp_path / "absent")


def test_named_file_that_is_not_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UnusableInput, match=r"notes.txt is not a DICOM file"):
        read_planning_ct(tmp_path / "notes.txt")


def test_asked_series_that_is_not_there_or_unsuitable(tmp_path):
    ct(tmp_path / "ct", tags={"SeriesDescription": "Planning"})
    scout = pydicom.dcmread(ct(tmp_path / "scout", 2)[0]).SeriesInstanceUID
    with pytest.raises(UnusableInput, match=r'no series 1.2.3 in .*"Planning" CT'):
        read_planning_ct(tmp_path, "1.2.3")
    with pytest.raises(UnusableInput, match="has only 2 slices"):
        read_planning_ct(tmp_path, scout)


def test_two_ct_series_are_listed_as_candidates(tmp_path):
    two_series(tmp_path)
    with pytest.raises(UnusableInput) as refusal:
        read_planning_ct(tmp_path)
    assert [candidate["files"] for candidate in refusal.value.candidates] == [28, 28]
    assert all(
        candidate["thickness_mm"] > 0 and str(tmp_path) in candidate["folder"] for candidate in refusal.value.candidates
    )
    assert not any(
        candidate["folder"] in refusal.value.sentence.partition(" holds ")[2] for candidate in refusal.value.candidates
    )
    for candidate in refusal.value.candidates:
        assert candidate["uid"] in refusal.value.sentence
        assert read_planning_ct(tmp_path, candidate["uid"]).series_uid == candidate["uid"]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }
