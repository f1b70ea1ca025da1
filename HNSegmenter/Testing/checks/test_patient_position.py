"""A patient who lies otherwise than the scan says is told in one sentence on the whole scan,
and nobody who lies as it says is."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.checks import LOOKS, run_checks
from Testing.painted_head import DIRECTIONS, edited, like, organs, painted_head

AS_IT_SAYS, BACK, FEET_FIRST, BOTH = (
    np.diag(axes) for axes in ([1.0, 1, 1], [-1.0, -1, 1], [-1.0, 1, -1], [1.0, -1, -1])
)
ON_THE_LEFT = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # front towards what is called left
SAID = {
    "upside down, its head where the feet should be; left": FEET_FIRST,
    "turned front to back, its face where the back should be; left": BACK,
    "upside down, its head where the feet should be, and turned front to back, its face": BOTH,
    "on its side, its face where the patient's left should be": ON_THE_LEFT,
    "on its side, its face where the patient's right should be": ON_THE_LEFT.T,
}
ADVICE = (
    "use none of its contours, check Patient Position (head or feet first, supine "
    "or prone) at the scanner, and send the scan again"
)


def airways(array, l, p, s):
    """Throat and windpipe, which are open to the nose."""
    array[(abs(l) < 8) & (abs(p + 40) < 8) & (s < 0)] = -1000
    array[(abs(l) < 8) & (p < -32) & (abs(s + 6) < 5)] = -1000


def lying(turn: np.ndarray, direction: np.ndarray = DIRECTIONS["LPS"], change=airways, names: tuple[str, ...] = ()):
    """Findings of a head that lies turned in the scan; names: what was found, all if nothing is said."""
    ct, labelmaps = painted_head(direction)
    ct = edited(ct, change)
    names = names or tuple(labelmaps)
    for image in (ct, *labelmaps.values()):
        image.SetOrigin((turn @ image.GetOrigin()).tolist())
        image.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return run_checks(ct, {name: labelmaps[name] for name in names}, organs())


@pytest.mark.parametrize("direction", ["LPS", "sagittal", "oblique"])
@pytest.mark.parametrize("said", SAID)
def test_it_is_said_first_how_the_patient_seems_to_lie(said, direction):
    names = ("Brainstem", "SpinalCord") if "on its side" in said else ()  # what the network finds in such a patient
    (sentence,) = lying(SAID[said], DIRECTIONS[direction], names=names)[""]
    assert sentence.startswith(LOOKS) and said in sentence and ADVICE in sentence


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_who_lies_as_the_scan_says_hears_nothing(direction):
    assert lying(AS_IT_SAYS, DIRECTIONS[direction])[""] == []


@pytest.mark.parametrize("turn", [FEET_FIRST, BOTH])
def test_organs_are_not_called_out_of_place_one_by_one(turn):
    """What remains is of the organ alone: here the cord, which leaves the scan at what is called its top."""
    said = [sentence for name, sentences in lying(turn).items() if name for sentence in sentences]
    assert all("touches the highest slice" in sentence for sentence in said), said


def test_organs_that_were_not_found_are_still_named_without_where_to_look():
    findings = lying(BACK, names=("Brainstem", "SpinalCord"))
    assert findings["Eye_L"] == ["Left eye was not found."] and findings["Parotid_R"] == [
        "Right parotid was not found."
    ]


GROUPS = [
    ("Parotid_L", "Parotid_R", "SpinalCord"),
    ("Brainstem", "SpinalCord", "Parotid_L"),
    ("Eye_L", "Parotid_L", "Brainstem"),
    ("Eye_L", "Eye_R", "SpinalCord"),
]


@pytest.mark.parametrize("names", GROUPS)
def test_a_few_organs_tell_head_from_feet(names):
    assert "upside down" in lying(FEET_FIRST, names=names)[""][0]
    assert lying(AS_IT_SAYS, names=names)[""] == []


@pytest.mark.parametrize(
    "names", [("SpinalCord",), ("Eye_L", "Eye_R"), ("Parotid_L", "Parotid_R"), ("Parotid_L", "SpinalCord")]
)
def test_what_cannot_tell_how_the_patient_lies_says_nothing_of_it(names):
    """One pair of organs may lie so by chance."""
    assert not any(LOOKS in sentence for sentence in lying(FEET_FIRST, names=names)[""])


def test_a_cord_alone_makes_one_ask_whether_it_is_a_head_and_how_it_lies():
    for turn in (AS_IT_SAYS, FEET_FIRST):
        (sentence,) = lying(turn, names=("SpinalCord",))[""]
        assert sentence.startswith("No organ of the head was found") and "as its Patient Position says" in sentence


def test_organs_as_in_no_patient_are_not_taken_for_a_turned_one():
    """What the network makes of a chest: a cord, and a gland far below its top."""
    ct, labelmaps = painted_head()
    low = sitk.Resample(labelmaps["Parotid_R"], sitk.TranslationTransform(3, [0, 0, 100]), sitk.sitkNearestNeighbor)
    assert run_checks(edited(ct, couch), {"SpinalCord": labelmaps["SpinalCord"], "Parotid_R": low}, organs())[""] == []


def test_one_organ_out_of_place_is_no_turned_scan():
    ct, labelmaps = painted_head()
    ct = edited(ct, airways)
    for name, by in (("Brainstem", -110), ("Eye_L", -120), ("SpinalCord", 120)):
        moved = sitk.Resample(labelmaps[name], sitk.TranslationTransform(3, [0, 0, -by]), sitk.sitkNearestNeighbor)
        findings = run_checks(ct, labelmaps | {name: moved}, organs())
        assert findings[""] == [] and findings[name], name


def lungs(array, l, p, s):
    """Wide ones, on both sides of the cord and behind it, but in front of it nothing: no windpipe was seen."""
    array[(np.hypot(abs(l) - 50, p - 20) < 32) & (s < -90)] = -850


def one_lung(array, l, p, s):
    """The other one is beyond the scan's cut."""
    airways(array, l, p, s)
    array[(np.hypot(l - 40, p + 5) < 22) & (s < -60)] = -850


def couch(array, l, p, s):
    """A hollow one that the patient lies on, its foam as light as air here and there,
    and a gap between that and the neck."""
    airways(array, l, p, s)
    array[(p > 98) & (abs(l) < 95) & ((p < 103) | (p > 109))] = 20
    array[(abs(l) < 30) & (abs(p - 92) < 5) & (abs(s + 60) < 20)] = -1000


@pytest.mark.parametrize(
    "change", [lungs, one_lung, couch, lambda *_: None], ids=["lungs", "one lung", "couch", "no air"]
)
def test_other_air_tells_nothing(change):
    for names in ((), ("Brainstem", "SpinalCord")):
        assert lying(AS_IT_SAYS, change=change, names=names)[""] == []
    assert not any("front to back" in sentence for sentence in lying(BACK, change=lungs)[""])


def test_a_mirrored_patient_lies_as_the_scan_says():
    ct, labelmaps = painted_head()
    ct = edited(ct, airways)
    mirrored = [like(ct, sitk.GetArrayFromImage(image)[:, :, ::-1]) for image in (ct, *labelmaps.values())]
    assert run_checks(mirrored[0], dict(zip(labelmaps, mirrored[1:])), organs())[""] == []
