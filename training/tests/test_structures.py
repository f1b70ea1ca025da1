"""The table of structures: every published label, right names, sides, codes and colours, and no guess."""

import itertools
import json
import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

from hn_training.foreign import structures as table
from hn_training.foreign.page import markdown

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRIES = table.structures()
SIDES = {"L": {"value": "7771000", "scheme": "SCT", "meaning": "Left"}}
SIDES["R"] = {"value": "24028007", "scheme": "SCT", "meaning": "Right"}
# As the data sets and models publish them, each model of TotalSegmentator by itself.
PUBLISHED = json.loads(Path(__file__).with_name("published_labels.json").read_text(encoding="utf-8"))
TOTALSEGMENTATOR = PUBLISHED.pop("TotalSegmentator")
LABELS = [("TotalSegmentator", label) for labels in TOTALSEGMENTATOR.values() for label in labels]
LABELS += [(source, label) for source, labels in PUBLISHED.items() for label in labels]
# Names that say a side elsewhere than in a last letter of their own: which side, and whether the code says it already.
OTHER_SIDES = {"Lung_LUL": "L", "Lung_LLL": "L", "Lung_RUL": "R", "Lung_RLL": "R", "Lung_RML": None}


def test_the_lists_are_whole():
    counts = {"total": 117, "head_glands_cavities": 19, "headneck_bones_vessels": 12, "head_muscles": 11}
    counts |= {"craniofacial_structures": 7, "headneck_muscles": 23}
    assert {task: len(set(labels)) for task, labels in TOTALSEGMENTATOR.items()} == counts
    counts = {"HaN-Seg": 30, "SegRap 2023": 45, "StructSeg 2019": 22, "OpenKBP": 7}
    assert {source: len(set(labels)) for source, labels in PUBLISHED.items()} == counts


@pytest.mark.parametrize(("source", "label"), sorted(set(LABELS)))
def test_every_published_label_is_known(source, label):
    found = table.find(label, source)
    assert found is not None
    assert label in found.labels[source]
    assert table.find(label) is found


def test_no_label_is_in_the_table_that_no_list_has():
    spelled_twice = {("StructSeg 2019", "left temporal lobe"), ("StructSeg 2019", "right temporal lobe")}
    written = {(source, label) for entry in ENTRIES for source, labels in entry.labels.items() for label in labels}
    assert written - set(LABELS) == spelled_twice


def test_labels_of_one_data_set_are_different_organs():
    for source in table.datasets():
        labels = sorted({label for of, label in LABELS if of == source})
        assert len({table.find(label, source).name for label in labels}) == len(labels)


def test_the_shipped_six_are_the_shipped_models():
    shipped = json.loads((REPOSITORY / "docker/hn_network/model/organs.json").read_text(encoding="utf-8"))["organs"]
    for organ in shipped:
        found = table.find(organ["name"])
        for field in ("name", "code", "laterality", "color"):
            assert getattr(found, field) == organ[field]
        assert found.tg263


def test_names_are_what_planning_systems_take():
    assert len({entry.name.casefold() for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+^~-]{0,15}", entry.name)


def side_of(label: str) -> str | None:
    """L or R where a published label says it, by a word or a last letter."""
    words = re.split(r"[ _]", re.sub(r"^(Left|Right)(?=[A-Z])", r"\1 ", label))
    if {"left", "right"} & {word.lower() for word in words}:
        return "L" if "left" in {word.lower() for word in words} else "R"
    last = re.search(r"_[AP]?([LR])$", label)
    return last[1] if last else None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_name_label_and_laterality_say_the_same_side(entry):
    side = OTHER_SIDES.get(entry.name, side_of(entry.name))
    assert entry.laterality == (SIDES[side] if side else None)
    said = {side_of(label) for labels in entry.labels.values() for label in labels}
    assert said == ({"R"} if entry.name == "Lung_RML" else {side})


def test_sides_are_read_from_labels():
    read = [side_of(label) for label in ("eye_left", "rib_right_1", "RightParotid", "left eye", "Eye_PR", "Larynx")]
    assert read == ["L", "R", "R", "L", "R", None]


def test_left_and_right_have_one_code_and_the_other_side():
    names = {entry.name: entry for entry in ENTRIES}
    alone = {"Atrium_Append_L"}
    for name, entry in names.items():
        if side_of(name) == "L" and name not in alone:
            assert names[name[:-1] + "R"].code == entry.code


ORDINALS = [
    "First",
    "Second",
    "Third",
    "Fourth",
    "Fifth",
    "Sixth",
    "Seventh",
    "Eighth",
    "Ninth",
    "Tenth",
    "Eleventh",
    "Twelfth",
]
# Labels that say another word than the code's meaning, and what they mean: found right by reading, one by one.
OTHER_WORDS = {
    "Eye_AL": "Eyeball",
    "Eye_AR": "Eyeball",
    "Eye_PL": "Eyeball",
    "Eye_PR": "Eyeball",
    "eye_lens": "Lens",
    "IAC": "Internal auditory canal",
    "VestibulSemi": "Inner ear",
    "ETbone": "Pharyngotympanic tube",
    "Larynx_SG": "Supraglottis",
    "Larynx_Supraglot": "Supraglottis",
    "Larynx_Glottic": "Glottis",
    "larynx_air": "Air",
    "TMjoint": "Temporomandibular joint",
    "teeth_upper": "Tooth",
    "teeth_lower": "Tooth",
    "middle_scalene": "Scalenus medius muscle",
    "sterno_thyroid": "Sternothyroid muscle",
    "prevertebral": "Anterior vertebral muscle of neck",
    "autochthon": "Deep muscle of back",
    "atrial_appendage": "Auricular appendage",
    "small_bowel": "Small intestine",
    "kidney_cyst": "Cyst",
    "iliac_vena": "Common iliac vein",
    "urinary_bladder": "Bladder",
}


def words(text: str) -> set[str]:
    """The first three letters of each word, without sides, numbers and what only says that it is a gland or a bone."""
    found = {word.lower()[:3] for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text) if len(word) > 1}
    return found - {"lef", "rig", "gla", "gln", "nrv", "bon", "rib", "ver"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_label_and_code_say_the_same_organ(entry):
    for label in itertools.chain.from_iterable(entry.labels.values()):
        if not words(label) <= words(entry.code["meaning"]):
            assert OTHER_WORDS[re.sub(r"_(L|R|left|right)$", "", label)] == entry.code["meaning"]


def test_ribs_and_vertebrae_are_counted_right():
    for number, ordinal in enumerate(ORDINALS, 1):
        for word, side in (("left", "L"), ("right", "R")):
            rib = table.find(f"rib_{word}_{number}")
            assert (rib.name, rib.code["meaning"]) == (f"Rib{number:02d}_{side}", f"{ordinal} rib")
    for level in [label.removeprefix("vertebrae_") for _, label in LABELS if label.startswith("vertebrae_")]:
        vertebra = table.find(f"vertebrae_{level}")
        number = int(level[1:])
        name = f"VB_T{number:02d}" if level[0] == "T" else f"VB_{level}"
        assert (vertebra.name, vertebra.code["meaning"]) == (name, f"{level} vertebra")


def known_meanings() -> dict[str, set[str]]:
    """{SNOMED CT code: the meanings that DICOM gives it}, in lower case."""
    found: dict[str, set[str]] = {}
    for codes in concepts["SCT"].values():
        for code, (meaning, _) in codes.items():
            found.setdefault(code, set()).add(meaning.casefold())
    return found


def test_codes_mean_what_dicom_says():
    known = known_meanings()
    checked = [entry for entry in ENTRIES if entry.code["value"] in known]
    for entry in checked:
        assert entry.code["meaning"].casefold() in known[entry.code["value"]], entry.name
        assert "DICOM" in entry.sources
    assert [entry.name for entry in ENTRIES if "DICOM" in entry.sources] == [entry.name for entry in checked]
    assert len(checked) >= 150
    for side in SIDES.values():
        assert side["meaning"].casefold() in known[side["value"]]


def test_dicom_has_no_other_code_for_a_meaning():
    """A meaning that DICOM gives to another code than the table's would be a code mistaken."""
    codes: dict[str, set[str]] = {}
    for code, meanings in known_meanings().items():
        for meaning in meanings:
            codes.setdefault(meaning, set()).add(code)
    for entry in ENTRIES:
        assert entry.code["value"] in codes.get(entry.code["meaning"].casefold(), {entry.code["value"]}), entry.name


def verhoeff(number: str) -> bool:
    """Whether the check digit of a SNOMED CT identifier is right (Verhoeff's scheme over the dihedral group D5)."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    turn = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for place, digit in enumerate(map(int, reversed(number))):
        turned = digit
        for _ in range(place % 8):
            turned = turn[turned]
        check = times(check, turned)
    return check == 0


def test_codes_are_snomed_identifiers():
    assert verhoeff("45289007") and not verhoeff("45289008") and not verhoeff("45298007")
    for entry in ENTRIES:
        assert set(entry.code) == {"value", "scheme", "meaning"} and entry.code["scheme"] == "SCT"
        assert 0 < len(entry.code["meaning"]) <= 64
        for code in [entry.code["value"], *entry.others.values()]:
            assert verhoeff(code), (entry.name, code)


def test_one_code_has_one_meaning():
    pairs = {(entry.code["value"], entry.code["meaning"]) for entry in ENTRIES}
    assert len({code for code, _ in pairs}) == len({meaning for _, meaning in pairs}) == len(pairs)


def test_a_code_that_two_organs_share_is_said():
    """Organs without a code of their own have that of a larger or a more general one, and say so."""
    first: dict[tuple, str] = {}
    for entry in ENTRIES:
        side = entry.laterality["meaning"] if entry.laterality else None
        if (entry.code["value"], side) in first:
            assert entry.note, f"{entry.name} has the code of {first[entry.code['value'], side]}"
        first.setdefault((entry.code["value"], side), entry.name)


def test_sources_are_named():
    for entry in ENTRIES:
        assert entry.sources and len(set(entry.sources)) == len(entry.sources)
        assert {*entry.sources, *entry.others, *entry.labels} <= set(table.sources())
        assert not set(entry.sources) & set(entry.others)
        assert entry.code["value"] not in entry.others.values()


def lab(color: list[int]) -> tuple[float, float, float]:
    """CIE L*a*b* of an sRGB colour, white D65."""
    r, g, b = (((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in color)
    xyz = ((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b)
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in (*xyz, (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_colours_can_be_told_apart():
    """By CIE 1976 differences: 2 is just visible. Neighbours in the table are mostly neighbours in the body."""
    colors = [lab(entry.color) for entry in ENTRIES]

    def difference(a, b) -> float:
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5

    assert all(len(entry.color) == 3 and all(0 <= c <= 255 for c in entry.color) for entry in ENTRIES)
    assert min(difference(a, b) for a, b in itertools.combinations(colors, 2)) > 10
    assert min(difference(a, b) for a, b in itertools.pairwise(colors)) > 20


@pytest.mark.parametrize("label", ["parotid l", "PAROTID-L", " Parotid_L ", "Parotid_L"])
def test_case_and_separators_do_not_matter(label):
    assert table.find(label).name == "Parotid_L"


@pytest.mark.parametrize(
    "label", ["", "Parotid", "Parotid_", "ParotidL", "Parotid_L2", "Parotid__L", "parotid_gland", "GTVp"]
)
def test_nothing_is_guessed(label):
    assert table.find(label) is None
    assert table.meanings(label) == {}


def test_a_label_of_another_data_set_is_not_the_named_ones():
    assert table.find("LeftParotid", "OpenKBP").name == "Parotid_L"
    assert table.find("LeftParotid", "HaN-Seg") is None
    assert table.find("Parotid_L", "OpenKBP").name == "Parotid_L"  # TG-263's names are everybody's
    with pytest.raises(ValueError, match=r"'KBP' is not a data set of the table. It has: HaN-Seg, "):
        table.find("LeftParotid", "KBP")


def test_a_label_that_means_two_organs_is_the_users_to_settle(monkeypatch):
    heart = table.Structure("Ventricle_L", {}, None, [], labels={"Hearts": ["ventricle"]})
    brain = table.Structure("Sys_Ventricular", {}, None, [], labels={"Brains": ["Ventricle"]})
    monkeypatch.setattr(table, "structures", lambda: (heart, brain))
    monkeypatch.setattr(table, "_index", lambda: table.index((heart, brain)))
    assert table.find("ventricle") is None
    assert table.meanings("ventricle") == {"Hearts": heart, "Brains": brain}
    assert table.find("ventricle", "Hearts") is heart
    assert table.find("ventricle", "Brains") is brain


def test_one_data_set_cannot_mean_two_organs_by_one_label():
    one = table.Structure("Eye_L", {}, None, [], labels={"Heads": ["eye"]})
    two = table.Structure("Eye_R", {}, None, [], labels={"Heads": ["Eye"]})
    with pytest.raises(ValueError, match="Heads calls both Eye_L and Eye_R 'Eye'"):
        table.index((one, two))


def test_the_page_is_current():
    page = (REPOSITORY / "docs/models/structures.md").read_text(encoding="utf-8")
    assert page == markdown(), "Write it anew: python -m hn_training structures > docs/models/structures.md"
    for source, label in LABELS:
        assert f"`{label}`" in page and source in page
