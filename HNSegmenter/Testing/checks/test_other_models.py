"""Organs without measured ranges: what is known without any is said of them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.checks import run_checks
from HNSegmenterLib.checks.shapes import measure
from HNSegmenterLib.checks.sides import wrong_side
from HNSegmenterLib.checks.tissue import Body
from Testing.many_organs import LEFT, NAMES, labelmaps_on, many_organs
from Testing.painted_head import edited, like, organs, painted_head


@pytest.fixture(scope="module")
def head():
    ct, labelmaps = painted_head(low=np.array([-105.0, -125.0, -250.0]))
    return ct, labelmaps, dict(labelmaps_on(ct, NAMES))


def found(ct, labelmaps, *names):
    """Only the organs with sentences."""
    sought = many_organs(names or tuple(labelmaps))
    return {name: sentences for name, sentences in run_checks(ct, labelmaps, sought).items() if sentences}


def ball(ct, l, p, s, radius=8.0):
    def drawn(array, x, y, z):
        array[(x - l) ** 2 + (y - p) ** 2 + (z - s) ** 2 < radius**2] = 1

    return edited(like(ct, np.zeros(ct.GetSize()[::-1], np.uint8)), drawn)


def both(one, other):
    return like(one, sitk.GetArrayFromImage(one) | sitk.GetArrayFromImage(other))


def with_open_airways(ct):
    """Throat, windpipe and lungs, which the air before the face reaches through the nose."""

    def open_up(array, l, p, s):
        array[(abs(l) < 9) & (abs(p + 40) < 9) & (s < -5)] = -1000
        array[(abs(l) < 9) & (p < -31) & (s > -14) & (s < 4)] = -1000
        array[(abs(l) > 9) & (abs(l) < 55) & (abs(p + 20) < 30) & (s < -180)] = -900

    return edited(ct, open_up)


def test_sixty_plausible_organs_are_quiet(head):
    ct, _, many = head
    # The corneas are drawn on the face, half in air; nothing else is odd.
    findings = found(ct, many)
    assert set(findings) <= {"Cornea_L", "Cornea_R", "Lips"}, findings


def test_air_is_no_fault_of_organs_that_may_hold_it(head):
    ct, _, _ = head
    airy = with_open_airways(ct)
    maps = {"Larynx": ball(ct, 0, -40, -60), "Trachea": ball(ct, 0, -40, -150), "Nasalcavity": ball(ct, 0, -60, -5)}
    maps |= {"Lung_L": ball(ct, 35, -20, -220, 15), "Lung_R": ball(ct, -35, -20, -220, 15)}
    assert found(airy, maps | {"Glnd_Submand_L": ball(ct, 40, -40, -60)}) == {}
    said = found(airy, {"Glnd_Submand_L": ball(ct, 0, -40, -60)})["Glnd_Submand_L"]
    assert any(sentence.endswith("% of Glnd_Submand_L is air: check its outline.") for sentence in said)


def test_in_the_air_beside_the_body_no_organ_is(head):
    ct, _, _ = head
    findings = found(with_open_airways(ct), {"Larynx": ball(ct, 0, -115, -60, 6)})
    assert [text for text in findings["Larynx"] if "% of Larynx lies outside the body" in text]


def test_whether_parts_belong_together_is_asked_and_not_known(head):
    ct, _, _ = head
    two = both(ball(ct, 40, 0, -60, 10), ball(ct, -40, 0, -60, 10))
    assert found(ct, {"Lungs": two}) == {}, "some organs are two"
    (sentence,) = found(ct, {"Glnd_Submand_L": two})["Glnd_Submand_L"]
    assert "in 2 separate pieces" in sentence and sentence.endswith("check whether they belong to it.")
    (sentence,) = found(ct, {"Larynx": both(ball(ct, 0, -40, -60, 12), ball(ct, 30, -40, -60, 7))})["Larynx"]
    assert "ml of it beside the largest" in sentence
    (sentence,) = found(ct, {"Esophagus": both(ball(ct, 0, 0, -60), ball(ct, 0, 0, -100))})["Esophagus"]
    assert "interrupted" in sentence and sentence.endswith("check whether it goes on there.")


def test_every_pair_is_asked_which_is_left(head):
    ct, _, many = head
    swapped = {name[:-1] + {"L": "R", "R": "L"}[name[-1]]: many[name] for name in many if name.endswith(("_L", "_R"))}
    findings = found(ct, {name: many[name] for name in NAMES} | swapped)
    said = {name for name, texts in findings.items() if any("left and right may be swapped" in text for text in texts)}
    assert said == {f"{name}_{side}" for name in LEFT for side in "LR"}
    assert "Lens_L lies to the right of Lens_R: left and right may be swapped." in findings["Lens_L"]


def test_a_right_organ_may_lie_left_of_the_midline_but_not_of_its_fellow(head):
    ct, _, _ = head
    heart = {"Ventricle_L": ball(ct, 40, -20, -200, 15), "Ventricle_R": ball(ct, 16, -35, -200, 15)}
    assert found(ct, heart) == {}
    assert found(ct, {"Atrium_R": ball(ct, 8, -35, -200, 15)}) == {}, "it reaches across"
    (sentence,) = found(ct, {"Kidney_R": ball(ct, 40, 0, -200, 15)})["Kidney_R"]
    assert sentence.startswith("Kidney_R lies in the left half of the patient")


def test_the_skin_ends_where_the_scan_does(head):
    ct, _, _ = head
    skin = like(ct, (sitk.GetArrayViewFromImage(ct) > -500).astype(np.uint8))
    assert found(ct, {"External": skin, "BODY": skin}) == {}
    assert "touches the lowest slice" in found(ct, {"Esophagus": skin})["Esophagus"][0]


def test_a_model_of_another_place_is_told_nothing_of_the_head(head):
    ct, labelmaps, _ = head
    empty = like(ct, np.zeros(ct.GetSize()[::-1], np.uint8))
    nothing = found(ct, {"Femur_L": empty, "Prostate": empty})
    assert list(nothing) == [""] and "a CT of the part of the body that this model contours" in nothing[""][0]
    femur = ball(ct, 40, 20, -200)
    sought = {"Femur_L": femur, "SpinalCord": labelmaps["SpinalCord"]} | dict.fromkeys(
        ("Brainstem", "Eye_L", "Eye_R"), empty
    )
    assert "" not in found(ct, sought), "another organ was found: the scan shows another place"
    del sought["Femur_L"]
    assert "No organ of the head was found" in found(ct, sought)[""][0]


def test_which_way_the_patient_faces_is_not_judged_by_a_model_without_a_head(head):
    ct, labelmaps, _ = head

    def windpipe_behind(array, l, p, s):
        array[(abs(l) < 12) & (abs(p - 40) < 12) & (s < -40) & (s > -200)] = -1000

    behind = edited(ct, windpipe_behind)
    cord = {"SpinalCord": labelmaps["SpinalCord"]}
    assert "front to back" in found(behind, cord, *labelmaps)[""][0]
    assert "" not in found(behind, cord | {"Kidney_L": ball(ct, 50, 20, -200)})


def test_the_bodys_middle_is_that_of_the_organs_slices(head):
    ct, _, _ = head

    def arm(array, l, p, s):
        array[(l > 60) & (l < 104) & (abs(p) < 30) & (s < -100)] = 40

    body = Body(edited(ct, arm))
    assert body.middle_l(measure("High", ball(ct, 0, 0, 0))) == pytest.approx(0, abs=3)
    assert body.middle_l(measure("Low", ball(ct, 0, 0, -150))) == pytest.approx((104 - 85) / 2, abs=3)


def test_a_whole_organ_across_needs_a_midline(head):
    ct, _, _ = head
    air = Body(like(ct, np.full(ct.GetSize()[::-1], -1000, np.int16)))
    shape = measure("Kidney_R", ball(ct, 40, 0, -200))
    assert wrong_side(organs("Kidney_R"), {"Kidney_R": shape}, air) == {}
