"""overview.png: upright, in proportion, outlines where the organs are, and nothing but pictures of the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from HNSegmenterLib import overview
from HNSegmenterLib.overview import draw_overview, page, panels
from Testing.many_organs import NAMES, labelmaps_on, many_organs
from Testing.painted_head import COLORS, DIRECTIONS, edited, like, organs, painted_head

MODEL = {"name": "hn-test", "version": "1.2.3", "digest": "sha256:" + "ab" * 32}
SCALE = panels.PANEL / panels.FIELD_MM  # pixels per mm


def near(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) rows and columns of pixels of a colour, antialiasing allowed for."""
    return np.argwhere(np.abs(picture.astype(int) - color).max(axis=-1) < 40)


def panels_of(picture: np.ndarray, row_top: int) -> list[np.ndarray]:
    lefts = [page.MARGIN + overview.TEXT_WIDTH + overview.GAP + n * (overview.PANEL + overview.GAP) for n in range(3)]
    return [picture[row_top : row_top + overview.PANEL, left : left + overview.PANEL] for left in lefts]


def first_row(picture: np.ndarray) -> int:
    """Top of the first row of panels: black air appears nowhere else."""
    column = picture[:, page.MARGIN + overview.TEXT_WIDTH + overview.GAP + 1]
    return int(np.argmax((column == 0).all(axis=-1) | (column == panels.SCAN_END).all(axis=-1)))


def draw(tmp_path, ct, labelmaps, sought, model=MODEL, remarks=(), chosen=()) -> np.ndarray:
    path = tmp_path / "overview.png"
    draw_overview(ct, labelmaps, sought, path, model, remarks, chosen)
    assert [file.name for file in tmp_path.iterdir()] == ["overview.png"]
    with Image.open(path) as image:
        assert not image.info.get("Comment") and not image.getexif()
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_outlines_are_in_place_and_in_proportion(tmp_path, direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    picture = draw(tmp_path, ct, labelmaps, organs())
    axial, coronal, sagittal = panels_of(picture, first_row(picture))  # through the brainstem: 32 x 30 x 56 mm
    for panel, (height, width) in zip((axial, coronal, sagittal), ((30, 32), (56, 32), (56, 30)), strict=True):
        outline = near(panel, COLORS["Brainstem"])
        size = np.ptp(outline, axis=0) / SCALE
        np.testing.assert_allclose(size, (height, width), atol=6)
    row = first_row(picture) + 2 * (overview.PANEL + overview.GAP)
    axial, coronal, sagittal = panels_of(picture, row)  # through the left parotid
    left, right = near(axial, COLORS["Parotid_L"]).mean(axis=0), near(axial, COLORS["Parotid_R"]).mean(axis=0)
    assert left[1] - right[1] == pytest.approx(118 * SCALE, abs=5), "the patient's left is on the right"
    assert near(coronal, COLORS["Parotid_L"])[:, 1].mean() > near(coronal, COLORS["Parotid_R"])[:, 1].mean()
    row = first_row(picture) + 4 * (overview.PANEL + overview.GAP)
    axial, _, sagittal = panels_of(
        picture, row
    )  # through the left eye: to the left of the sagittal panel, at the front
    middle = (-93.5 + 17) / 2  # of all organs from the eyes' front to the brainstem's back
    assert near(sagittal, COLORS["Eye_L"])[:, 1].mean() == pytest.approx(
        overview.PANEL / 2 + (-81 - middle) * SCALE, abs=12
    )
    sagittal = panels_of(picture, first_row(picture))[2]
    assert near(sagittal, COLORS["SpinalCord"])[:, 0].mean() > near(sagittal, COLORS["Brainstem"])[:, 0].mean() + 40, (
        "feet below"
    )


def test_an_outline_is_thin_and_the_ct_is_seen_within(tmp_path):
    ct, labelmaps = painted_head()
    picture = draw(tmp_path, ct, labelmaps, organs())
    axial = panels_of(picture, first_row(picture))[0]
    outline = near(axial, COLORS["Brainstem"])
    length = np.pi * 31 * SCALE  # about the ellipse's circumference
    assert 0.7 * length < len(outline) < 4 * length
    middle = axial[tuple(outline.mean(axis=0).astype(int))]
    expected = (40 - (panels.LEVEL - panels.WINDOW / 2)) / panels.WINDOW * 255
    np.testing.assert_allclose(middle, expected, atol=3)


def test_the_windows_ends(tmp_path):
    ct, labelmaps = painted_head()

    def bone(array, l, p, s):
        array[(abs(l) < 10) & (abs(p - 50) < 10)] = 1500

    picture = draw(tmp_path, edited(ct, bone), labelmaps, organs("Brainstem"))
    axial = panels_of(picture, first_row(picture))[0]
    assert (axial == 255).all(axis=-1).sum() > 400
    assert (axial == 0).all(axis=-1).sum() > 400


def test_findings_make_the_picture_longer_never_wider(tmp_path):
    ct, labelmaps = painted_head()
    quiet = organs("Brainstem")
    plain = draw(tmp_path, ct, labelmaps, quiet)
    quiet[0].checks = ["Brainstem has a very long remark that goes on and on, to see that it is wrapped."] * 12
    full = draw(tmp_path, ct, labelmaps, quiet)
    assert full.shape[1] == plain.shape[1]
    assert full.shape[0] > plain.shape[0]
    assert len(near(full[:, : overview.TEXT_WIDTH], overview.ALERT)) > len(
        near(plain[:, : overview.TEXT_WIDTH], overview.ALERT)
    )


def test_organs_without_contours_are_listed(tmp_path):
    ct, labelmaps = painted_head()
    both = organs("Brainstem") + organs("Eye_L", status="not in this model") + organs("Eye_R", status="not found")
    with_list = draw(tmp_path, ct, {"Brainstem": labelmaps["Brainstem"]}, both)
    without = draw(tmp_path, ct, {"Brainstem": labelmaps["Brainstem"]}, both[:1])
    assert with_list.shape[0] > without.shape[0]


def test_nothing_found_still_shows_the_scan(tmp_path):
    ct, _labelmaps = painted_head()
    empty = like(ct, np.zeros(ct.GetSize()[::-1], np.uint8))
    picture = draw(tmp_path, ct, {"Brainstem": empty}, organs("Brainstem", status="not found"), model=None)
    assert (np.ptp(panels_of(picture, first_row(picture))[0].reshape(-1, 3), axis=0) > 100).all()


def test_an_organ_at_the_scans_corner_and_names_beyond_ascii(tmp_path):
    ct, _ = painted_head()
    corner = sitk.Image(ct.GetSize(), sitk.sitkUInt8)
    corner.CopyInformation(ct)
    corner[0, 0, 0] = 1
    sought = organs("Glande_é")
    sought[0].checks = ["Größe 3 mm²"]
    draw(tmp_path, ct, {"Glande_é": corner}, sought)


def test_a_failure_leaves_no_file(tmp_path):
    ct, labelmaps = painted_head()
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's to say
        draw_overview(ct, labelmaps, organs("Brainstem"), target)
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


def test_what_is_said_of_the_whole_scan_stands_above_all_organs(tmp_path):
    ct, labelmaps = painted_head()
    pictures = [
        draw(tmp_path, ct, labelmaps, organs(), remarks=remarks)
        for remarks in ((), ("The scan looks upside down: send it again.",))
    ]
    tops = [first_row(picture) for picture in pictures]
    assert tops[1] > tops[0]
    # From there on both are the same; what is more is in the colour of remarks.
    assert np.array_equal(pictures[1][tops[1] :], pictures[0][tops[0] :])
    title = pictures[1][: tops[1]]
    assert len(near(title, overview.ALERT)) > len(near(pictures[0][: tops[0]], overview.ALERT)) + 100


def rows_of(picture: np.ndarray) -> int:
    """How many rows of panels a page has: between two the page is seen."""
    left = page.MARGIN + overview.TEXT_WIDTH + overview.GAP
    is_page = (picture[:, left : left + panels.PANEL] == page.PAGE).all(axis=(1, 2))
    return int(np.count_nonzero(np.diff(np.flatnonzero(is_page)) > panels.PANEL))


@pytest.fixture(scope="module")
def sixty():
    ct, _ = painted_head()
    return ct, dict(labelmaps_on(ct)), many_organs()


@pytest.mark.parametrize(
    ("number", "chosen", "rows"), [(1, (), 1), (6, (), 6), (20, (), 12), (60, (), 12), (60, ("all",), 60)]
)
def test_so_many_rows_as_one_looks_through_or_as_are_asked_for(tmp_path, sixty, number, chosen, rows):
    ct, labelmaps, many = sixty
    picture = draw(tmp_path, ct, labelmaps, many[:number], chosen=chosen)
    assert rows_of(picture) == rows
    assert picture.shape[1] == overview.WIDTH + 2 * page.MARGIN


def test_those_to_look_at_are_shown_first(sixty):
    many = [replace(organ) for organ in sixty[2]]
    assert [organ.name for organ in overview.choose(many)] == list(NAMES[:12])
    for organ in many[40:43]:
        organ.checks = ["odd"]
    assert [organ.name for organ in overview.choose(many)] == [*NAMES[:9], *NAMES[40:43]]
    assert [organ.name for organ in overview.choose(many, ("lens_l", "Brain", "Heart"))] == ["Brain", "Lens_L"]
    assert len(overview.choose(many, ("Heart",))) == 12, "none of them is there"
    assert overview.unknown(many, ("lens_l", "Heart", "all")) == ["Heart"]


def test_only_the_chosen_are_outlined_and_the_others_named(tmp_path, sixty):
    ct, labelmaps, many = sixty
    color = {organ.name: organ.color for organ in many}
    picture = draw(tmp_path, ct, labelmaps, many, chosen=("Cerebellum", "Larynx"))
    assert rows_of(picture) == 2
    rows = picture[: first_row(picture) + 2 * (panels.PANEL + overview.GAP)]
    assert len(near(rows, color["Cerebellum"])) > 300 and len(near(rows, color["Bone_Mandible"])) == 0
    assert len(picture) - len(rows) > 10 * 20, "58 names in columns"


def test_names_in_columns_do_not_meet():
    names = ["W" * 60, "Parotid_L", *(f"Organ_{n}" for n in range(11))]
    picture = np.asarray(page.name_columns(600, [(name, page.INK, (255, 0, 0)) for name in names]))
    width = 600 // page.COLUMNS
    for column in range(page.COLUMNS):
        gap = picture[:, (column + 1) * width - page.GAP // 2 : (column + 1) * width]
        assert (gap == page.PAGE).all()


def test_many_organs_without_contours_are_named_in_columns(tmp_path, sixty):
    ct, labelmaps, _ = sixty
    both = many_organs(NAMES[:1]) + many_organs(NAMES[1:], status="not found")
    one = draw(tmp_path, ct, {"Brainstem": labelmaps["Brainstem"]}, both)
    assert one.shape[0] < 1100


def test_an_organ_that_is_far_aside_or_larger_than_the_field_is_whole_in_its_row(tmp_path):
    ct, _ = painted_head(low=np.array([-300.0, -125.0, -160.0]), high=np.array([300.0, 115.0, 400.0]))

    def drawn(array, l, p, s):
        array[(abs(l - 280) < 10) & (abs(p) < 10) & (abs(s) < 10)] = 1

    def long(array, l, p, s):
        array[(abs(l) < 10) & (abs(p) < 10) & (s > -150) & (s < 390)] = 1

    empty = like(ct, np.zeros(ct.GetSize()[::-1], np.uint8))
    maps = {"Humerus_L": edited(empty, drawn), "Spine": edited(empty, long)}
    both = many_organs(tuple(maps))
    picture = draw(tmp_path, ct, maps, both)
    top = first_row(picture)
    axial, coronal, _ = panels_of(picture, top)
    for panel in (axial, coronal):
        assert np.ptp(near(panel, both[0].color), axis=0) == pytest.approx((20 * SCALE, 20 * SCALE), abs=5)
    axial, coronal, _ = panels_of(picture, top + panels.PANEL + overview.GAP)
    assert np.ptp(near(axial, both[1].color), axis=0) == pytest.approx((20 * SCALE, 20 * SCALE), abs=5)
    height = np.ptp(near(coronal, both[1].color)[:, 0])
    assert height == pytest.approx(panels.PANEL * 540 / 560, abs=8)
