"""Which organ a reviewed ROI is: its name before its code, and a code only where nothing else could be meant."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

import pydicom
import pytest

from HNSegmenterLib.result import Organ
from HNSegmenterLib.rtstruct import pair, write_rtstruct
from HNSegmenterLib.service.inbox.finalising import finalised
from HNSegmenterLib.service.inbox.identifying import identified
from Testing.rtstruct.help import contours, head_organs, make_ct, organs, result

NOW = datetime(2026, 3, 1, 9, 30)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A CT and the network's RTSTRUCT of it."""
    folder = tmp_path_factory.mktemp("written")
    ct = make_ct(folder / "ct", (24, 40, 40), (6.0, 6.0, 4.0))
    write_rtstruct(ct, head_organs(ct), result(), folder / "rtstruct.dcm")
    return ct, folder / "rtstruct.dcm"


@pytest.fixture
def told():
    return []


@pytest.fixture
def approved(written, told):
    """An edit of the network's set -> (what was reviewed, what is sent), each ROI by its name."""
    ct, path = written

    def run(**names):
        drawn = pydicom.dcmread(path)
        for item in drawn.StructureSetROISequence:
            item.ROIName = names.get(item.ROIName, item.ROIName)
        sent = finalised(drawn, ct, result(), "Reviewer^Test", NOW, told.append)
        assert contours(sent) == contours(drawn)
        return {roi.name: roi for roi in pair(sent).rois}

    return run


def test_a_renamed_organ_is_known_by_its_code(approved, told):
    sent = approved(Eye_R="Auge rechts")
    assert sent["Auge rechts"].codes == {("79652003", "SCT", "24028007")}
    assert told == []


def test_sides_that_were_put_right_by_their_names_are_said(approved, told):
    """The names count, each with its contours; the codes follow the names."""
    sent = approved(Eye_L="Eye_R", Eye_R="Eye_L")
    assert sent["Eye_L"].codes == {("79652003", "SCT", "7771000")}
    assert told == [
        "Eye_R bears the code of Eye_L: its name counts.",
        "Eye_L bears the code of Eye_R: its name counts.",
    ]


def test_a_name_in_other_letters_is_still_the_name(approved, told):
    sent = approved(Eye_L="left eye", Eye_R="EYE_L")
    assert sent["EYE_L"].codes == {("79652003", "SCT", "7771000")}
    assert sent["left eye"].codes == set()
    assert told == ["EYE_L bears the code of Eye_R: its name counts."]


def test_a_target_made_of_an_organ_is_none(approved, told):
    assert approved(Parotid_L="GTVn")["GTVn"].codes == set()
    assert told == ["GTVn bears the code of Parotid_L: its name counts."]


def test_of_two_with_one_code_neither_is_taken_for_the_organ(written, told):
    drawn = pydicom.dcmread(written[1])
    drawn.StructureSetROISequence[5].ROIName = "Auge rechts"
    for keyword, number in (
        ("StructureSetROISequence", "ROINumber"),
        ("RTROIObservationsSequence", "ReferencedROINumber"),
    ):
        copy = deepcopy(drawn[keyword].value[5])
        copy[number].value = 7
        drawn[keyword].value.append(copy)
    drawn.StructureSetROISequence[6].ROIName = "Auge alt"
    found = identified(pair(drawn).rois, organs(), told.append)
    assert [organ.name for organ in found.values()] == ["Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L"]
    assert told == [
        "Auge rechts bears the code of Eye_R, but was not taken for it: Auge alt bears it too.",
        "Auge alt bears the code of Eye_R, but was not taken for it: Auge rechts bears it too.",
    ]
    told.clear()
    drawn.StructureSetROISequence[5].ROIName = "Eye_R"
    assert len(identified(pair(drawn).rois, organs(), told.append)) == 6, "a copy beside the organ"
    assert told == []


def test_a_code_of_two_organs_tells_neither(written, told):
    drawn = pydicom.dcmread(written[1])
    drawn.StructureSetROISequence[0].ROIName = "Hirnstamm"
    both = [*organs(), Organ("Brainstem_Core", 7, (1, 2, 3), organs()[0].code)]
    assert 1 not in identified(pair(drawn).rois, both, told.append)
    assert told == [
        (
            "Hirnstamm bears the code of Brainstem and Brainstem_Core, but was not taken "
            "for it: it is the code of several organs."
        )
    ]


def test_observations_that_contradict_each_other_are_said(written, told):
    ct, path = written
    drawn = pydicom.dcmread(path)
    second = deepcopy(drawn.RTROIObservationsSequence[2])
    second.RTROIInterpretedType = "PTV"
    drawn.RTROIObservationsSequence.append(second)
    sent = {roi.name: roi for roi in pair(finalised(drawn, ct, result(), "Reviewer^Test", NOW, told.append)).rois}
    assert sent["Parotid_L"].interpreted_types == {"ORGAN"}
    assert told == ["Parotid_L is stated to be ORGAN and PTV: its name decides what it is."]
    told.clear()
    second.RTROIInterpretedType = "ORGAN"
    finalised(drawn, ct, result(), "Reviewer^Test", NOW, told.append)
    assert told == []
