"""Ends, centres and what must not happen, on cases that can be told by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.evaluation.findings import cut_sentence, is_cut, swapped_sides, unannounced
from HNSegmenterLib.evaluation.places import Ends, centre, ends
from HNSegmenterLib.evaluation.prediction import Prediction
from HNSegmenterLib.result import Organ

SHAPE = (20, 10, 16)


def grid(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)) -> sitk.Image:
    image = sitk.Image(SHAPE[::-1], sitk.sitkUInt8)
    image.SetSpacing((2.0, 2.0, 3.0))
    image.SetDirection(direction)
    return image


def rod(first: int, last: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[first : last + 1, 4:6, 7:9] = True
    return mask


def cube(i: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[5:8, 4:6, i : i + 2] = True
    return mask


def test_ends_are_positive_towards_the_head():
    sound = np.ones(20, bool)
    assert ends(rod(5, 12), rod(5, 12), grid(), sound) == Ends(0.0, 0.0)
    assert ends(rod(5, 12), rod(3, 14), grid(), sound) == Ends(6.0, -6.0)
    feet_last = grid((1, 0, 0, 0, -1, 0, 0, 0, -1))
    assert ends(rod(5, 12), rod(3, 14), feet_last, sound) == Ends(6.0, -6.0), (
        "the upper end is at the first slices there"
    )
    assert ends(rod(5, 12), rod(4, 12), feet_last, sound) == Ends(3.0, 0.0)


def test_an_end_counts_only_within_sound_slices():
    sound = np.ones(20, bool)
    sound[13] = False  # the slice above the reference's last
    assert ends(rod(5, 12), rod(3, 14), grid(), sound) == Ends(None, -6.0)
    assert ends(rod(0, 12), rod(0, 12), grid(), np.ones(20, bool)) == Ends(0.0, None), "the scan ends there"
    sagittal = grid((0, 0, 1, 1, 0, 0, 0, 1, 0))
    assert ends(rod(5, 12), rod(5, 12), sagittal, np.ones(20, bool)) == Ends(None, None)


def test_centre_in_patient_coordinates():
    assert centre(cube(6), grid()).tolist() == [13.0, 9.0, 18.0]


def test_swapped_sides():
    left, right = cube(12), cube(2)  # i runs to the patient's left
    right_way = {"Eye_L": left, "Eye_R": right}
    assert swapped_sides(right_way, right_way, grid()) == []
    (found, *_) = swapped_sides({"Eye_L": right, "Eye_R": left}, right_way, grid())
    assert found[0] == "Eye_L" and "right of Eye_R" in found[1]
    assert swapped_sides({"Eye_L": right, "Eye_R": np.zeros(SHAPE, bool)}, right_way, grid()) == [
        ("Eye_L", "it lies on the reference of Eye_R")
    ]
    assert swapped_sides({"Eye_R": left}, right_way, grid())[0][0] == "Eye_R"
    assert swapped_sides({"Brainstem": left}, {"Brainstem": right}, grid()) == []


def prediction(folder: Path, organs: list[dict]) -> Prediction:
    values = {"contract": 1, "model": {}, "runtime": {}, "input": {}, "timings_s": {}, "warnings": []}
    values["organs"] = [{"label": 1, "color": [0, 0, 0], **organ} for organ in organs]
    (folder / "result.json").write_text(json.dumps(values), encoding="utf-8")
    return Prediction(folder, grid())


@pytest.mark.parametrize(
    ("organ", "mask", "silent"),
    [
        ({"status": "found"}, cube(4), False),
        ({"status": "found"}, np.zeros(SHAPE, bool), True),
        ({"status": "found"}, None, True),
        ({"status": "not found", "checks": []}, None, True),
        ({"status": "not found", "checks": ["Left eye was not found."]}, None, False),
        ({"status": "not in this model"}, None, False),
    ],
)
def test_empty_organs_are_announced_or_not(tmp_path, organ, mask, silent):
    found = unannounced(prediction(tmp_path, [{"name": "Eye_L", **organ}]), {"Eye_L": mask})
    assert [name for name, _ in found] == ["Eye_L"] * silent


def test_without_a_result_nothing_is_said(tmp_path):
    assert unannounced(Prediction(tmp_path, grid()), {"Eye_L": None}) == []


def test_what_a_cut_goes_through():
    above = np.zeros(SHAPE, bool)
    above[10:] = True
    assert is_cut(rod(5, 14), above)
    assert not is_cut(rod(0, 9), above) and not is_cut(rod(10, 15), above)
    assert not is_cut(rod(0, 10), np.arange(20)[:, None, None] < 10), "a slice too little is no cut organ"


def test_the_sentence_on_a_cut_organ():
    checks = ["Left parotid touches the highest slice: the scan may be cut there."]
    organs = [
        Organ("Parotid_L", 1, (0, 0, 0), checks=checks),
        Organ("Eye_L", 2, (0, 0, 0), checks=["Left eye was not found."]),
    ]
    assert cut_sentence(organs, "Parotid_L", above=True) == checks[0]
    assert cut_sentence(organs, "Parotid_L", above=False) is None
    assert cut_sentence(organs, "Eye_L", above=False) == "Left eye was not found."
    assert cut_sentence(organs, "Brainstem", above=True) is None
