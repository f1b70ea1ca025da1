"""ROIs, contours and observations belong together by their number alone:
no organ leaves with another one's contours."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from HNSegmenterLib.errors import HNSegmenterError, UnusableInput
from HNSegmenterLib.evaluation.rasterise import read_contours
from HNSegmenterLib.rtstruct import agreement, complete, pair, placed, write, write_rtstruct
from HNSegmenterLib.service.inbox.finalising import finalised
from Testing.rtstruct.help import MODEL, contours, drawing, head_organs, make_ct, organs, result, saved, square

NOW = datetime(2026, 3, 1, 9, 30)
SHAPE, SPACING = (24, 48, 48), (5.0, 5.0, 3.0)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct") / "series", SHAPE, SPACING)


@pytest.fixture
def drawn(ct):
    """Three organs at places of their own."""
    places = {"Eye_L": ((10, 10), (14, 14)), "Eye_R": ((30, 10), (34, 14)), "GTVp": ((20, 30), (26, 36))}
    return drawing(*((name, [square(ct, 5, *corners), square(ct, 6, *corners)]) for name, corners in places.items()))


@pytest.fixture
def told():
    return []


READERS = {
    "complete": lambda dataset, ct, folder: complete(dataset, ct, MODEL, organs()),
    "approve": lambda dataset, ct, folder: finalised(dataset, ct, result(), "Reviewer^Test", NOW),
    "read back": lambda dataset, ct, folder: agreement(dataset, ct, head_organs(ct)),
    "evaluate": lambda dataset, ct, folder: read_contours(saved(dataset, folder / "edited.dcm"), ct.image),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_number_of_two_rois_is_refused_with_both_names(reader, ct, drawn, tmp_path):
    """As a library leaves it that numbers by count: GTVp was added after another ROI was deleted."""
    drawn.StructureSetROISequence[2].ROINumber = drawn.ROIContourSequence[2].ReferencedROINumber = 8
    with pytest.raises(UnusableInput, match=r"2 ROIs bear ROI Number 8 \(Eye_R, GTVp\).*export it anew"):
        READERS[reader](drawn, ct, tmp_path)


@pytest.mark.parametrize("reader", READERS)
def test_one_number_for_all_is_refused(reader, ct, tmp_path):
    names = [f"Organ {n}" for n in range(9)]
    dataset = drawing(*((name, [square(ct, 5, (4 * n, 5), (4 * n + 2, 9))]) for n, name in enumerate(names)))
    for item, contour_item in zip(dataset.StructureSetROISequence, dataset.ROIContourSequence, strict=True):
        item.ROINumber = contour_item.ReferencedROINumber = 0
    with pytest.raises(UnusableInput, match=r"9 ROIs bear ROI Number 0 \(Organ 0, Organ 1, .*, Organ 5 and 3 more\)"):
        READERS[reader](dataset, ct, tmp_path)


@pytest.mark.parametrize("number", [None, "", "absent", "six", "1\\2"])
def test_an_roi_without_a_usable_number_is_refused(number, ct, drawn):
    item = drawn.StructureSetROISequence[1]
    if number == "absent":
        del item.ROINumber
    else:
        raw = (number or "").encode()
        item[0x30060022] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(0x30060022), "IS", len(raw), raw, 0, False, True
        )
    with pytest.raises(UnusableInput, match="Eye_R has no ROI Number"):
        complete(drawn, ct, MODEL, organs())


def test_an_roi_without_a_name_is_refused(ct, drawn):
    drawn.StructureSetROISequence[1].ROIName = " "
    with pytest.raises(UnusableInput, match="ROI of ROI Number 8 has no name"):
        complete(drawn, ct, MODEL, organs())


def test_the_order_of_the_items_does_not_matter(ct, drawn):
    expected = contours(complete(drawn, ct, MODEL, organs()))
    drawn.ROIContourSequence = list(reversed(drawn.ROIContourSequence))
    assert contours(complete(drawn, ct, MODEL, organs())) == expected
    drawn.StructureSetROISequence = [drawn.StructureSetROISequence[n] for n in (1, 2, 0)]
    assert contours(complete(drawn, ct, MODEL, organs())) == expected


def test_an_roi_that_nothing_is_drawn_of_does_not_borrow(ct, drawn, told):
    expected = contours(complete(drawn, ct, MODEL, organs()))
    del drawn.ROIContourSequence[1]
    found = contours(complete(drawn, ct, MODEL, organs(), warn=told.append))
    assert found == {name: expected[name] for name in ("Eye_L", "GTVp")}
    assert told == ["Eye_R has no contour on any slice: it was left out."]


def test_two_contour_items_of_one_roi_are_joined_and_said(ct, drawn, told, tmp_path):
    whole = contours(complete(drawn, ct, MODEL, organs()))
    masks = read_contours(saved(deepcopy(drawn), tmp_path / "whole.dcm"), ct.image)
    split = deepcopy(drawn.ROIContourSequence[1])
    split.ContourSequence, drawn.ROIContourSequence[1].ContourSequence = (
        split.ContourSequence[:1],
        split.ContourSequence[1:],
    )
    drawn.ROIContourSequence.append(split)
    assert contours(complete(drawn, ct, MODEL, organs(), warn=told.append)) == whole
    assert told == ["The contours of Eye_R stand in 2 ROI Contour items: they were taken together."]
    read = read_contours(saved(drawn, tmp_path / "split.dcm"), ct.image)
    assert all(np.array_equal(read[name], mask) for name, mask in masks.items())
    assert masks["Eye_R"].any()


@pytest.mark.parametrize(
    ("number", "where"), [(9, "belong to ROI Number 9, which no ROI bears"), (None, "name no ROI")]
)
def test_contours_that_nobody_can_name_do_not_vanish_in_silence(number, where, ct, drawn, told, tmp_path):
    del drawn.StructureSetROISequence[2]
    drawn.ROIContourSequence[2].ReferencedROINumber = number
    found = contours(complete(drawn, ct, MODEL, organs(), warn=told.append))
    assert list(found) == ["Eye_L", "Eye_R"]
    assert told == [f"Contours that {where} were left out: 2."]
    with pytest.raises(UnusableInput, match="contours of no ROI"):
        read_contours(saved(drawn, tmp_path / "edited.dcm"), ct.image)


def swap_contours(dataset: Dataset) -> None:
    """The first two ROIs of a completed set with each other's contours."""
    one, two = dataset.ROIContourSequence[:2]
    one.ReferencedROINumber, two.ReferencedROINumber = two.ReferencedROINumber, one.ReferencedROINumber


def test_the_read_back_sees_an_organ_with_another_ones_contours(ct, drawn, tmp_path):
    completed, asked = complete(drawn, ct, MODEL, organs()), placed(drawn, ct)
    write(completed, tmp_path / "right.dcm", asked)
    swap_contours(completed)
    with pytest.raises(HNSegmenterError, match="contours of Eye_L, Eye_R are not those that were to be written"):
        write(completed, tmp_path / "swapped.dcm", asked)
    del completed.ROIContourSequence[0].ContourSequence[1]
    swap_contours(completed)
    with pytest.raises(HNSegmenterError, match="contours of Eye_L are not those"):
        write(completed, tmp_path / "lost.dcm", asked)
    assert [path.name for path in tmp_path.iterdir()] == ["right.dcm"]


def test_segment_compares_what_it_wrote_with_what_it_traced(ct, tmp_path, monkeypatch):
    from HNSegmenterLib.rtstruct import export

    def swapped(*arguments):
        dataset = complete(*arguments)
        swap_contours(dataset)
        return dataset

    monkeypatch.setattr(export, "complete", swapped)
    with pytest.raises(HNSegmenterError, match="contours of Brainstem, SpinalCord are not those"):
        write_rtstruct(ct, head_organs(ct), result(), tmp_path / "rtstruct.dcm")
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_of_an_roi(drawn):
    drawn.ROIContourSequence[0].ROIDisplayColor = [1, 2, 3]
    drawn.RTROIObservationsSequence = [Dataset(), Dataset(), Dataset()]
    for item, number, kind in zip(drawn.RTROIObservationsSequence, (7, 7, 12), ("ORGAN", "", "GTV"), strict=True):
        item.ReferencedROINumber, item.RTROIInterpretedType = number, kind
    eye, other, _ = pair(drawn).rois
    assert (eye.number, eye.name, len(eye.contours), eye.color) == (7, "Eye_L", 2, (1, 2, 3))
    assert (eye.interpreted_types, eye.codes) == ({"ORGAN"}, set())
    assert (other.color, other.observations) == (None, [])
