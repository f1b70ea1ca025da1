"""What else is filed under the CT's Series Instance UID is set aside with a warning, whatever its file is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from HNSegmenterLib.dicom import find_series, read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from Testing.phantoms import PATIENT, edit, head_phantom, save, write_ct_series

SPACING = (5.0, 5.0, 4.0)
HEAD = head_phantom((24, 40, 40), SPACING)
MIDDLE = -5.0 * 39 / 2
CORONAL = (1, 0, 0, 0, 0, -1)
NAMES = ("0.dcm", "zz.dcm")  # before and behind the slices
SECONDARY, SCREEN = "1.2.840.10008.5.1.4.1.1.7", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}


def ct(folder: Path, count: int = len(HEAD), **variations) -> list[Path]:
    return write_ct_series(folder, HEAD[:count], SPACING, (MIDDLE, MIDDLE, 0.0), **variations)


def same_series(files: list[Path]) -> dict:
    """Attributes of the CT's series for what is filed in it."""
    first = pydicom.dcmread(files[0], stop_before_pixels=True)
    return {word: first[word].value for word in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}


def an_object(sop_class: str, modality: str, **tags) -> Callable[[list[Path], Path], None]:
    """An object without an image's attributes, and of a patient who is written otherwise."""

    def write(files: list[Path], path: Path) -> None:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = sop_class, generate_uid(None), modality
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = (
            same_series(files)["SeriesInstanceUID"],
            generate_uid(None),
        )
        dataset.PatientName, dataset.PatientID, dataset.SeriesDescription = "TEST^Other", "", "Something else"
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        save(dataset, path)

    return write


def an_image(shape=(64, 52), orientation=CORONAL, origin=(0.0, 0.0, 0.0), **tags) -> Callable[[list[Path], Path], None]:
    """An image of CT Image Storage; tags: None takes one out."""

    def write(files: list[Path], path: Path) -> None:
        own = {"SeriesDescription": "Something else"} | same_series(files) | tags
        image = write_ct_series(
            path.parent / "image", np.zeros((1, *shape)), (3.0, 3.0, 1.0), origin, orientation, tags=own
        )
        image[0].rename(path)

    return write


def mixed_in(*kinds: Callable) -> Callable[[list[Path], Path], None]:
    def write(files: list[Path], path: Path) -> None:
        for n, kind in enumerate(kinds):
            kind(files, path.with_stem(f"{path.stem}{n}"))

    return write


RTSTRUCT = an_object("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
CAPTURE = an_object(SECONDARY, "OT")
SCOUT = an_image()
FOREIGN = {
    "RTSTRUCT": (RTSTRUCT, "1 RT Structure Set object."),
    "dose": (an_object("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"), "1 RT Dose object."),
    "plan": (an_object("1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN"), "1 RT Plan object."),
    "dose sheet": (an_object("1.2.840.10008.5.1.4.1.1.88.67", "SR"), "1 X-Ray Radiation Dose SR object."),
    "presentation state": (
        an_object("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
        "1 Grayscale Softcopy Presentation State object.",
    ),
    "secondary capture called CT": (an_object(SECONDARY, "CT", NumberOfFrames=3), "1 Secondary Capture Image object."),
    "PET image": (
        an_image(SOPClassUID="1.2.840.10008.5.1.4.1.1.128", Modality="PT"),
        "1 Positron Emission Tomography Image object.",
    ),
    "private object": (an_object("1.3.12.2.1107.5.9.1", "CT"), "1 object of an unknown kind."),
    "private image": (an_image(SOPClassUID="1.3.12.2.1107.5.9.1"), "1 object of an unknown kind."),
    "screen save": (
        an_image(ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None, **SCREEN),
        "1 image without position. Check that no slice of the scan is among them.",
    ),
    "screen save that kept an orientation": (
        an_image((40, 40), (1, 0, 0, 0, 1, 0), ImagePositionPatient=None, InstanceNumber=25, **SCREEN),
        "1 image without position. Check that no slice of the scan is among them.",
    ),
    "a slice's double without position": (
        an_image((40, 40), (1, 0, 0, 0, 1, 0), ImagePositionPatient=None, InstanceNumber=8),
        "1 image without position. Check that no slice of the scan is among them.",
    ),
    "scout by its words": (an_image(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "1 localizer image."),
    "scout by its geometry": (SCOUT, "1 image of another orientation."),
    "reformat": (an_image(ImageType=["DERIVED", "SECONDARY", "MPR"]), "1 image computed from the scan."),
    "slanted image in the midst": (
        an_image((40, 40), (1, 0, 0, 0, 0.995, 0.0998749), (-60.0, -60.0, 40.0)),
        "1 image of another orientation.",
    ),
    "all sorts": (
        mixed_in(RTSTRUCT, CAPTURE, CAPTURE, SCOUT),
        "1 RT Structure Set object, 2 Secondary Capture Image objects, 1 image of another orientation.",
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("write", "said"), FOREIGN.values(), ids=FOREIGN)
def test_it_is_set_aside(tmp_path, write, said, name):
    files = ct(tmp_path)
    write(files, tmp_path / name)
    uid = same_series(files)["SeriesInstanceUID"]
    for source, series_uid in ((tmp_path, None), (tmp_path, uid), (files[3], None)):
        found = read_planning_ct(source, series_uid)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found.image), HEAD)
        assert [slice_.path for slice_ in found.slices] == files
        assert found.warnings == [f"Left out of series {uid}: {said}"]
        assert found.header.PatientID == PATIENT["PatientID"] and found.header.SOPClassUID == CTImageStorage


@pytest.mark.parametrize("name", NAMES)
def test_the_series_is_called_what_its_slices_are(tmp_path, name):
    files = ct(tmp_path, tags={"SeriesDescription": "Planning"})
    mixed_in(RTSTRUCT, CAPTURE)(files, tmp_path / name)
    series = find_series(tmp_path).series[0]
    assert (series.modality, series.description) == ("CT", "Planning")
    assert series.to_dict()["thickness_mm"] == 4.0
    ct(tmp_path / "other")
    with pytest.raises(UnusableInput, match='"Planning", 24 slices'):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_named_file_may_be_the_foreign_one(tmp_path, name):
    RTSTRUCT(ct(tmp_path), tmp_path / name)
    assert len(read_planning_ct(tmp_path / name).slices) == len(HEAD)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_majority_it_is_refused_with_the_counts(tmp_path, name):
    mixed_in(*[CAPTURE] * 24)(ct(tmp_path), tmp_path / name)
    with pytest.raises(
        UnusableInput, match="holds 24 CT images beside 24 Secondary Capture Image objects: no majority"
    ):
        read_planning_ct(tmp_path)


def test_two_stacks_of_equal_size_are_refused(tmp_path):
    tags = same_series(ct(tmp_path))
    write_ct_series(tmp_path, HEAD, SPACING, orientation=CORONAL, tags=tags, prefix="B")
    with pytest.raises(UnusableInput, match="have different orientations, as have 24 of its 48 images"):
        read_planning_ct(tmp_path)


LOST = {  # what makes slice 8 no slice: the gap shows it
    "filed as another object": (
        {"SOPClassUID": SECONDARY},
        "1 slice is missing .* Left out were: 1 Secondary Capture Image object",
    ),
    "called a reformat": (
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        "1 slice is missing .* Left out were: 1 image computed",
    ),
    "without place": (
        {"ImagePositionPatient": None, "ImageOrientationPatient": None},
        "1 slice is missing .* Left out were: 1 image without position",
    ),
    "called a localizer": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "1 slice is missing .* Left out were: 1 localizer image",
    ),
    "standing across": (
        {"ImageOrientationPatient": list(CORONAL)},
        "1 slice is missing .* Left out were: 1 image of another orientation",
    ),
    "slanted": (
        {"ImageOrientationPatient": [1, 0, 0, 0, 0.995, 0.0998749]},
        "different orientations, as have 1 of its 24 images",
    ),
}
DAMAGED = {  # is one of the slices: refused wherever it lies
    "slanted": LOST["slanted"],
    "of another size": ({"HU": np.zeros((40, 36))}, "different sizes"),
    "of another pixel spacing": ({"PixelSpacing": [5, 4.9]}, "different pixel spacings"),
    "of no SOP class": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.99"},
        "is of another SOP Class than CT Image Storage",
    ),
    "of several frames": ({"NumberOfFrames": 2}, "holds 2 frames"),
    "without position": ({"ImagePositionPatient": None}, "no usable Image Position"),
    "of another modality": ({"Modality": "MR"}, "different modalities"),
}


@pytest.mark.parametrize(("change", "said"), LOST.values(), ids=LOST)
def test_a_slice_that_is_lost_by_it_is_missed(tmp_path, change, said):
    ct(tmp_path, overrides={7: change})
    with pytest.raises(UnusableInput, match=said):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("k", [0, len(HEAD) - 1])
@pytest.mark.parametrize(("change", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_slice_at_an_end_is_no_foreign_object(tmp_path, change, said, k):
    ct(tmp_path, overrides={k: change})
    with pytest.raises(UnusableInput, match=said):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_copies_do_not_hide_in_file_names(tmp_path, name):
    """Of two copies with UIDs of their own, the same one stays, however they are called."""
    files = ct(tmp_path)
    copy = tmp_path / name
    copy.write_bytes(files[3].read_bytes())
    edit(files[3], SOPInstanceUID="1.2.3.1")
    edit(copy, SOPInstanceUID="1.2.3.2")
    assert read_planning_ct(tmp_path).slices[3].sop_instance_uid == "1.2.3.1"
