"""overview.png: upright, in proportion, outlines where the organs are, and nothing but pictures of the patient."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from HNSegmenterLib import overview
from HNSegmenterLib.overview import draw_overview
from Testing.painted_head import COLORS, DIRECTIONS, edited, like, organs, painted_head

MODEL = {"name": "hn-test", "version": "1.2.3", "digest": "sha256:" + "ab" * 32}
SCALE = overview.PANEL / overview.FIELD_MM  # pixels per mm


def near(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) rows and columns of pixels of a colour, antialiasing allowed for."""
    return np.argwhere(np.abs(picture.astype(int) - color).max(axis=-1) < 40)


def panels(picture: np.ndarray, row_top: int) -> list[np.ndarray]:
    lefts = [
        overview.MARGIN + overview.TEXT_WIDTH + overview.GAP + n * (overview.PANEL + overview.GAP) for n in range(3)
    ]
    return [picture[row_top : row_top + overview.PANEL, left : left + overview.PANEL] for left in lefts]


def first_row(picture: np.ndarray) -> int:
    """Top of the first row of panels: black air appears nowhere else."""
    column = picture[:, overview.MARGIN + overview.TEXT_WIDTH + overview.GAP + 1]
    return int(np.argmax((column == 0).all(axis=-1) | (column == overview.SCAN_END).all(axis=-1)))


def draw(tmp_path, ct, labelmaps, sought, model=MODEL, remarks=()) -> np.ndarray:
    path = tmp_path / "overview.png"
    draw_overview(ct, labelmaps, sought, path, model, remarks)
    assert [file.name for file in tmp_path.iterdir()] == ["overview.png"]
    with Image.open(path) as image:
        assert not image.info.get("Comment") and not image.getexif()
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_outlines_are_in_place_and_in_proportion(tmp_path, direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    picture = draw(tmp_path, ct, labelmaps, organs())
    axial, coronal, sagittal = panels(picture, first_row(picture))  # through the brainstem: 32 x 30 x 56 mm
    for panel, (height, width) in zip((axial, coronal, sagittal), ((30, 32), (56, 32), (56, 30)), strict=True):
        outline = near(panel, COLORS["Brainstem"])
        size = np.ptp(outline, axis=0) / SCALE
        np.testing.assert_allclose(size, (height, width), atol=6)
    row = first_row(picture) + 2 * (overview.PANEL + overview.GAP)
    axial, coronal, sagittal = panels(picture, row)  # through the left parotid
    left, right = near(axial, COLORS["Parotid_L"]).mean(axis=0), near(axial, COLORS["Parotid_R"]).mean(axis=0)
    assert left[1] - right[1] == pytest.approx(118 * SCALE, abs=5), "the patient's left is on the right"
    assert near(coronal, COLORS["Parotid_L"])[:, 1].mean() > near(coronal, COLORS["Parotid_R"])[:, 1].mean()
    row = first_row(picture) + 4 * (overview.PANEL + overview.GAP)
    axial, _, sagittal = panels(picture, row)  # through the left eye: to the left of the sagittal panel, at the front
    middle = (-93.5 + 17) / 2  # of all organs from the eyes' front to the brainstem's back
    assert near(sagittal, COLORS["Eye_L"])[:, 1].mean() == pytest.approx(
        overview.PANEL / 2 + (-81 - middle) * SCALE, abs=12
    )
    sagittal = panels(picture, first_row(picture))[2]
    assert near(sagittal, COLORS["SpinalCord"])[:, 0].mean() > near(sagittal, COLORS["Brainstem"])[:, 0].mean() + 40, (
        "feet below"
    )


def test_an_outline_is_thin_and_the_ct_is_seen_within(tmp_path):
    ct, labelmaps = painted_head()
    picture = draw(tmp_path, ct, labelmaps, organs())
    axial = panels(picture, first_row(picture))[0]
    outline = near(axial, COLORS["Brainstem"])
    length = np.pi * 31 * SCALE  # about the ellipse's circumference
    assert 0.7 * length < len(outline) < 4 * length
    middle = axial[tuple(outline.mean(axis=0).astype(int))]
    expected = (40 - (overview.LEVEL - overview.WINDOW / 2)) / overview.WINDOW * 255
    np.testing.assert_allclose(middle, expected, atol=3)


def test_the_windows_ends(tmp_path):
    ct, labelmaps = painted_head()

    def bone(array, l, p, s):
        array[(abs(l) < 10) & (abs(p - 50) < 10)] = 1500

    picture = draw(tmp_path, edited(ct, bone), labelmaps, organs("Brainstem"))
    axial = panels(picture, first_row(picture))[0]
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
    assert (np.ptp(panels(picture, first_row(picture))[0].reshape(-1, 3), axis=0) > 100).all()


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
