"""Whose a slice or a structure set is: compared as DICOM compares, told by the attribute and never by its value."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataset import Dataset

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.dicom.identity import BIRTH_DATE, ID, ISSUER, NAME, Identity, compare
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.rtstruct import Roi, build, complete, trace
from Testing.phantoms import edit, head_phantom, write_ct_series
from Testing.raw_elements import put_bytes
from Testing.rtstruct.help import head_organs, make_ct

SHAPE, SPACING = (24, 40, 40), (6.0, 6.0, 4.0)
PATIENT = {"PatientID": "ID7", "PatientName": "Muster^Hans", "PatientBirthDate": "19700101"}


def identity(**changes) -> Identity:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {**PATIENT, **changes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return Identity.of(dataset)


SAME = {
    "trailing ^": {"PatientName": "Muster^Hans^^^"},
    "trailing groups": {"PatientName": "Muster^Hans=="},
    "spaces": {"PatientName": " Muster ^ Hans ", "PatientID": "  ID7 "},
    "padding": {"PatientName": "Muster^Hans\0", "PatientID": "ID7\0\0"},
    "letter case": {"PatientName": "MUSTER^hans"},
    "another representation beside it": {"PatientName": "Muster^Hans=木^花"},
    "a date of old form": {"PatientBirthDate": "1970.01.01"},
    "an issuer that one does not state": {"IssuerOfPatientID": "Clinic"},
    "a date that one does not state": {"PatientBirthDate": ""},
}


@pytest.mark.parametrize("form", SAME)
def test_what_differs_in_form_alone_does_not_differ(form):
    for one, two in ((identity(), identity(**SAME[form])), (identity(**SAME[form]), identity())):
        assert (compare(one, two).decisive, compare(one, two).others) == (None, ())
    nobody = dict.fromkeys(("PatientID", "PatientName"))
    assert compare(identity(PatientID=None), identity(**{**SAME[form], "PatientID": None})).decisive is None
    assert compare(identity(**nobody), identity(**nobody)).decisive is None


@pytest.mark.parametrize(
    ("one", "two", "decisive", "others"),
    [
        ({}, {"PatientID": "ID8"}, ID, ()),
        ({}, {"PatientID": "id7"}, ID, ()),  # capitals count in an ID
        ({}, {"PatientID": "ID 7"}, ID, ()),
        ({"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}, ISSUER, ()),
        ({}, {"PatientName": "Muster^Anna"}, None, (NAME,)),
        ({}, {"PatientName": ""}, None, (NAME,)),
        ({}, {"PatientName": "Muster^Hans^^Dr"}, None, (NAME,)),
        ({}, {"PatientName": "X^Y", "PatientBirthDate": "19700102"}, None, (NAME, BIRTH_DATE)),
        ({"PatientID": ""}, {"PatientID": "", "PatientName": "Muster^Anna"}, NAME, ()),
        ({"PatientID": ""}, {"PatientID": "", "PatientName": ""}, NAME, ()),
        ({"PatientID": ""}, {"PatientID": "", "PatientBirthDate": "19700102"}, BIRTH_DATE, ()),
        ({}, {"PatientID": ""}, None, (ID,)),
        ({}, {"PatientID": "", "PatientName": "Muster^Anna"}, NAME, (ID,)),
        ({"PatientName": ""}, {"PatientID": "", "PatientName": ""}, ID, ()),
    ],
)
def test_the_id_decides_and_without_it_name_and_birth_date(one, two, decisive, others):
    for a, b in ((one, two), (two, one)):
        found = compare(identity(**a), identity(**b))
        assert (found.decisive, found.others) == (decisive, others)


def test_bytes_are_compared_where_they_are_no_text(tmp_path):
    """Latin-1 called UTF-8: pydicom reads one and the same in place of all these letters."""
    files = write_ct_series(tmp_path, head_phantom(SHAPE, SPACING)[:3], SPACING)
    for path, charset, name in zip(
        files, (b"ISO_IR 192", b"ISO_IR 192", b"ISO_IR 100"), (b"M\xfcller", b"M\xf6ller", b"M\xfcller"), strict=True
    ):
        put_bytes([path], {"SpecificCharacterSet": charset, "PatientName": name})
    first, other, same = (Identity.of(pydicom.dcmread(path)) for path in files)
    assert compare(first, other).others == (NAME,) and compare(first, same).others == ()


def series(folder, **changes):
    """A head whose slices from the middle on say something else of their patient."""
    files = write_ct_series(folder, head_phantom(SHAPE, SPACING), SPACING, patient=PATIENT)
    for path in files[len(files) // 2 :]:
        edit(path, **changes)
    return folder


@pytest.mark.parametrize("form", ["trailing ^", "spaces", "padding", "letter case"])
def test_a_series_whose_slices_write_its_patient_in_other_forms_is_one(form, tmp_path):
    assert read_planning_ct(series(tmp_path, **SAME[form])).warnings == []


def test_a_series_with_two_names_for_one_id_is_read_with_a_warning(tmp_path):
    (warning,) = read_planning_ct(series(tmp_path, PatientName="Muster^Anna", PatientBirthDate="19700102")).warnings
    assert "Patient's Name and Patient's Birth Date" in warning and "Muster" not in warning and "1970" not in warning


@pytest.mark.parametrize(
    ("changes", "attribute"), [({"PatientID": "ID8"}, ID), ({"PatientID": "ID7 B", "PatientName": "Muster^Anna"}, ID)]
)
def test_two_patients_in_one_series_are_refused_by_the_attribute_that_differs(changes, attribute, tmp_path):
    with pytest.raises(UnusableInput, match=f"different patients: their {attribute} differs") as refusal:
        read_planning_ct(series(tmp_path, **changes))
    assert "ID8" not in refusal.value.sentence and "Muster" not in refusal.value.sentence


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct"), SHAPE, SPACING, patient=PATIENT)


@pytest.fixture
def drawn(ct):
    return build(ct, [Roi("Parotid_L", None, trace(ct, head_organs(ct)["Parotid_L"]))])


def completed(drawn, ct, **stated):
    for keyword, value in stated.items():
        setattr(drawn, keyword, value)
    warnings = []
    complete(drawn, ct, None, [], warn=warnings.append)
    return warnings


@pytest.mark.parametrize("form", [None, *SAME])
def test_a_structure_set_of_the_same_patient_is_taken(form, ct, drawn):
    assert completed(drawn, ct, **{**PATIENT, **SAME.get(form, {})}) == []


def test_a_structure_set_that_names_nobody_is_taken(ct, drawn):
    assert completed(drawn, ct) == []


def test_a_structure_set_under_another_name_is_taken_with_a_warning(ct, drawn):
    (warning,) = completed(drawn, ct, **{**PATIENT, "PatientName": "Married^Hans"})
    assert "The structure set and the CT differ in Patient's Name" in warning and "Married" not in warning


@pytest.mark.parametrize(
    ("stated", "attribute"), [({**PATIENT, "PatientID": "ID8"}, ID), ({"PatientName": "Muster^Anna"}, NAME)]
)
def test_a_structure_set_of_another_patient_is_refused(stated, attribute, ct, drawn):
    with pytest.raises(UnusableInput, match=f"another patient than the CT .their {attribute} differs"):
        completed(drawn, ct, **stated)


def test_uids_differ_not_by_spaces(ct, drawn):
    assert completed(drawn, ct, StudyInstanceUID=f" {ct.study_uid} ") == []
