"""The checks find what is wrong, say it once, and are quiet about plausible organs, whatever the image's direction."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.checks import run_checks
from Testing.painted_head import COLORS, DIRECTIONS, HIGH, LOW, edited, like, organs, painted_head, shifted

QUIET = {name: [] for name in (*COLORS, "")}


@pytest.fixture(scope="module")
def head():
    return painted_head()


def found(ct, labelmaps, names=tuple(COLORS)):
    """Only the organs with sentences."""
    return {name: sentences for name, sentences in run_checks(ct, labelmaps, organs(*names)).items() if sentences}


def only(findings, name, *words):
    """One sentence, about this organ, with these words."""
    assert list(findings) == [name], findings
    assert len(findings[name]) == 1, findings
    for word in words:
        assert word in findings[name][0]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_quiet_about_plausible_organs(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    findings = run_checks(ct, labelmaps, organs())
    if direction == "oblique":  # the cord leaves such a scan through its back as well
        findings["SpinalCord"] = [text for text in findings["SpinalCord"] if "touches" not in text]
    assert findings == QUIET


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_swapped(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    labelmaps["Parotid_L"], labelmaps["Parotid_R"] = labelmaps["Parotid_R"], labelmaps["Parotid_L"]
    findings = found(ct, labelmaps)
    assert set(findings) - {"SpinalCord"} == {"Parotid_L", "Parotid_R"}
    assert findings["Parotid_L"] == [
        "Left parotid lies in the right half of the patient: left and right may be swapped, or it is another organ."
    ]
    assert "left half" in findings["Parotid_R"][0]


def test_all_swapped_in_a_mirrored_result(head):
    ct, labelmaps = head
    mirrored = {name: like(ct, sitk.GetArrayFromImage(labelmap)[:, :, ::-1]) for name, labelmap in labelmaps.items()}
    findings = found(ct, mirrored)
    assert set(findings) == {"Parotid_L", "Parotid_R", "Eye_L", "Eye_R"}
    assert all(len(sentences) == 1 and "swapped" in sentences[0] for sentences in findings.values())


@pytest.mark.parametrize(
    ("name", "by", "words"),
    [
        ("Parotid_L", (0, 0, 60), "towards the head"),
        ("Parotid_R", (0, 50, 0), "towards the back"),
        ("Eye_L", (0, 0, -70), "towards the feet"),
        ("Eye_R", (0, 60, 0), "towards the back"),
        ("Brainstem", (0, -50, 0), "towards the front"),
    ],
)
@pytest.mark.parametrize("direction", ["LPS", "sagittal"])
def test_shifted(direction, name, by, words):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    labelmaps[name] = shifted(labelmaps[name], by)
    findings = found(ct, labelmaps)
    assert set(findings) <= {name, "SpinalCord"}
    assert any(words in sentence and "beyond the plausible" in sentence for sentence in findings[name]), findings


def test_everything_shifted_sideways_off_the_midline(head):
    ct, labelmaps = head
    moved = {name: shifted(labelmap, (45, 0, 0)) for name, labelmap in labelmaps.items()}
    findings = found(ct, moved)
    assert any("outside the body" in sentence for sentence in findings["Parotid_L"])


@pytest.mark.parametrize(("end", "face"), [("lowest", "Parotid_L"), ("highest", "Eye_R")])
@pytest.mark.parametrize("direction", ["LPS", "feet last", "sagittal"])
def test_cut_by_the_scan(direction, end, face):
    limits = (
        (LOW, np.array([HIGH[0], HIGH[1], 33.0])) if end == "highest" else (np.array([LOW[0], LOW[1], -45.0]), HIGH)
    )
    ct, labelmaps = painted_head(DIRECTIONS[direction], low=limits[0], high=limits[1])
    findings = found(ct, labelmaps)
    other = face[:-1] + ("R" if face[-1] == "L" else "L")
    assert set(findings) == {face, other}
    side = "Right eye" if end == "highest" else "Left parotid"
    assert findings[face] == [f"{side} touches the {end} slice: the scan may be cut there."]


def test_cut_by_the_field_of_view():
    ct, labelmaps = painted_head(high=np.array([60.0, HIGH[1], HIGH[2]]))
    assert found(ct, labelmaps)["Parotid_L"] == [
        "Left parotid touches the left edge of the scan: the scan may be cut there."
    ]


def test_cord_may_leave_at_the_bottom_but_not_at_the_top():
    ct, labelmaps = painted_head(high=np.array([HIGH[0], HIGH[1], -60.0]))
    only(found(ct, {"SpinalCord": labelmaps["SpinalCord"]}, ("SpinalCord",)), "SpinalCord", "touches the highest slice")


def test_incomplete(head):
    ct, labelmaps = head

    def drop(array, l, p, s):
        array[s > -60] = 0

    findings = found(ct, labelmaps | {"Parotid_L": edited(labelmaps["Parotid_L"], drop)})
    assert set(findings) == {"Parotid_L"}
    assert any(sentence.endswith("check whether it is complete.") for sentence in findings["Parotid_L"])
    assert any("right parotid" in sentence and "incomplete" in sentence for sentence in findings["Parotid_L"])


def test_too_large(head):
    ct, labelmaps = head
    large = sitk.BinaryDilate(labelmaps["Eye_L"], [3, 3, 3])
    findings = found(ct, labelmaps | {"Eye_L": large})
    assert any(
        sentence.startswith("Left eye has ") and "stops where it should" in sentence for sentence in findings["Eye_L"]
    )


def test_cord_as_wide_as_the_vertebra(head):
    ct, labelmaps = head
    large = sitk.BinaryDilate(labelmaps["SpinalCord"], [5, 5, 0])
    assert any("cross-section" in sentence for sentence in found(ct, labelmaps | {"SpinalCord": large})["SpinalCord"])


def test_fragment(head):
    ct, labelmaps = head

    def add(array, l, p, s):
        array[(abs(l - 40) < 8) & (abs(p - 50) < 8) & (abs(s - 20) < 8)] = 1

    spotted = edited(labelmaps["Parotid_L"], add)
    only(found(ct, labelmaps | {"Parotid_L": spotted}), "Parotid_L", "2 separate pieces", "ml of it loose")


def test_a_crumb_is_no_fragment(head):
    ct, labelmaps = head

    def add(array, l, p, s):
        array[tuple(np.argwhere(abs(l - 40) + abs(p - 50) + abs(s - 20) < 4)[0])] = 1

    assert found(ct, labelmaps | {"Eye_L": edited(labelmaps["Eye_L"], add)}) == {}


def test_interrupted_cord(head):
    ct, labelmaps = head

    def drop(array, l, p, s):
        array[abs(s + 90) < 7] = 0

    findings = found(ct, labelmaps | {"SpinalCord": edited(labelmaps["SpinalCord"], drop)})
    only(findings, "SpinalCord", "interrupted", "slices between z = -", "fill the gap")


LONG = np.array([LOW[0], LOW[1], -600.0])


def without_the_neck(array, l, p, s):
    """A metal implant's gap, 60 mm below the brainstem."""
    array[(s < -90) & (s > -130)] = 0


@pytest.mark.parametrize("direction", ["LPS", "feet last"])
def test_the_short_cord_above_a_gap_in_a_long_scan_is_the_cord_and_the_gap_is_said(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction], low=LONG)
    cord = edited(labelmaps["SpinalCord"], without_the_neck)
    only(
        found(ct, labelmaps | {"SpinalCord": cord}),
        "SpinalCord",
        "interrupted",
        "on 13 slices between z = -12",
        "fill the gap",
    )


def test_an_interrupted_cord_is_told_to_be_joined_where_no_slice_shows_the_gap():
    ct, labelmaps = painted_head(DIRECTIONS["sagittal"], low=LONG)
    cord = edited(labelmaps["SpinalCord"], without_the_neck)
    only(
        found(ct, labelmaps | {"SpinalCord": cord}),
        "SpinalCord",
        "in 2 separate pieces, one above the other: join them",
    )


def test_what_lies_beside_an_interrupted_cord_is_said_too():
    ct, labelmaps = painted_head(low=LONG)

    def arm(array, l, p, s):
        without_the_neck(array, l, p, s)
        array[(abs(l - 70) < 5) & (abs(p) < 5) & (s < -300)] = 1

    first, second, third = found(ct, labelmaps | {"SpinalCord": edited(labelmaps["SpinalCord"], arm)})["SpinalCord"]
    assert "loose: remove what does not belong" in first and "interrupted" in second and "cross-section" in third


@pytest.mark.parametrize("direction", ["LPS", "sagittal"])
def test_a_head_severed_from_a_larger_trunk_is_inside_the_body(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction], low=LONG)

    def sever(array, l, p, s):
        array[(s < -90) & (s > -130)] = -1024

    findings = found(
        edited(ct, sever), {name: edited(labelmap, without_the_neck) for name, labelmap in labelmaps.items()}
    )
    assert list(findings) == ["SpinalCord"] and len(findings["SpinalCord"]) == 1


def test_gap_and_overlap_of_brainstem_and_cord(head):
    ct, labelmaps = head

    def drop(array, l, p, s):
        array[s > -50] = 0

    low = edited(labelmaps["SpinalCord"], drop)
    assert any(
        "Between brainstem and spinal cord 2" in text
        for text in found(ct, labelmaps | {"SpinalCord": low})["SpinalCord"]
    )

    def extend(array, l, p, s):
        array[(l**2 + (p - 18) ** 2 < 36) & (s < 0)] = 1

    high = edited(labelmaps["SpinalCord"], extend)
    assert any("overlap by 2" in text for text in found(ct, labelmaps | {"SpinalCord": high})["SpinalCord"])


@pytest.mark.parametrize("direction", ["LPS", "oblique"])
def test_air_inside(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])

    def hollow(array, l, p, s):
        array[(abs(l - 59) < 8) & (abs(p + 23) < 8) & (abs(s + 40) < 12)] = -1000

    findings = found(edited(ct, hollow), labelmaps)
    findings.pop("SpinalCord", None)
    only(findings, "Parotid_L", "% of left parotid is air")


def test_in_the_couch():
    ct, labelmaps = painted_head()

    def couch(array, l, p, s):
        array[(p > 106) & (p < 112)] = 20

    def drawn(array, l, p, s):
        array[(p > 106) & (p < 112) & (abs(l - 59) < 20) & (abs(s + 40) < 20)] = 1

    findings = found(edited(ct, couch), labelmaps | {"Parotid_L": edited(labelmaps["Parotid_L"], drawn)})
    assert any("outside the body, in the air, the couch" in sentence for sentence in findings["Parotid_L"])


def test_airways_are_inside_the_body(head):
    ct, labelmaps = head

    def trachea(array, l, p, s):
        array[(abs(l) < 9) & (abs(p + 40) < 9) & (s < 0)] = -1000

    assert found(edited(ct, trachea), labelmaps) == {}


def test_emptied_where_the_scan_reaches(head):
    ct, labelmaps = head
    empty = like(ct, np.zeros(ct.GetSize()[::-1], np.uint8))
    expected = "Left eye was not found, although the scan should reach it: contour it by hand."
    only(found(ct, labelmaps | {"Eye_L": empty}), "Eye_L", expected)
    without = {name: labelmap for name, labelmap in labelmaps.items() if name != "Eye_L"}
    only(found(ct, without), "Eye_L", expected)


def test_not_found_because_the_scan_ends_below():
    ct, labelmaps = painted_head(high=np.array([HIGH[0], HIGH[1], 0.0]))
    findings = found(ct, {name: labelmap for name, labelmap in labelmaps.items() if not name.startswith("Eye")})
    assert findings["Eye_L"][0].startswith("Left eye was not found: it is expected about ")
    assert findings["Eye_L"][0].endswith("mm above the end of the scan.")


def test_nothing_found(head):
    ct, labelmaps = head
    empty = like(ct, np.zeros(ct.GetSize()[::-1], np.uint8))
    only(found(ct, dict.fromkeys(labelmaps, empty)), "", "No organ was found")


def test_only_air(head):
    ct, labelmaps = head
    findings = found(like(ct, np.full(ct.GetSize()[::-1], -1000, np.int16)), labelmaps)
    assert "all of it is air" in findings[""][0]
    assert "100% of brainstem is air: check its outline." in findings["Brainstem"]


def test_organs_not_in_the_model_are_left_out(head):
    ct, labelmaps = head
    sought = organs("Brainstem", "SpinalCord") + organs("Eye_L", "Eye_R", status="not in this model")
    findings = run_checks(ct, {name: labelmaps[name] for name in ("Brainstem", "SpinalCord")}, sought)
    assert findings == {"Brainstem": [], "SpinalCord": [], "": []}


def test_another_models_organs_get_the_generic_checks(head):
    ct, labelmaps = head
    names = ("Brainstem", "Lens_L", "Lens_R", "Larynx")
    maps = {
        "Brainstem": labelmaps["Brainstem"],
        "Lens_L": labelmaps["Eye_L"],
        "Lens_R": labelmaps["Eye_R"],
        "Larynx": labelmaps["Parotid_L"],
    }
    assert found(ct, maps, names) == {}
    maps["Lens_L"], maps["Lens_R"] = maps["Lens_R"], maps["Lens_L"]
    assert set(found(ct, maps, names)) == {"Lens_L", "Lens_R"}
    low_ct, low = painted_head(low=np.array([LOW[0], LOW[1], -45.0]))
    only(found(low_ct, {"Larynx": low["Parotid_L"]}, ("Larynx",)), "Larynx", "Larynx touches the lowest slice")


def test_side_from_the_code_where_the_name_has_none(head):
    ct, labelmaps = head
    left = organs("glande")[0]
    left.laterality = {"value": "7771000", "scheme": "SCT", "meaning": "Left"}
    assert run_checks(ct, {"glande": labelmaps["Parotid_L"]}, [left])["glande"] == []
    assert "right half" in run_checks(ct, {"glande": labelmaps["Parotid_R"]}, [left])["glande"][0]
