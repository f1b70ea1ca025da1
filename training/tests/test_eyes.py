"""Eyes are found where they are, and painted on the right side with the right size."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hn_training.config import ORGANS, Data
from hn_training.data import patients
from hn_training.eyes import eye_sheets, eyes, fit_eyes

SPACING = np.array([3.9, 3.9, 2.5])
SHAPE = (48, 40, 56)
LEFT, RIGHT = np.array([141.0, 52.0, 63.0]), np.array([77.0, 50.0, 61.0])
RADII = np.array([12.5, 12.0, 13.0])
TRAINING_EYES = Path(__file__).resolve().parents[1] / "eyes" / "train.json"
CLASSES = {"Brainstem": 1, "Eye_L": 8, "Eye_R": 9}


def millimetres() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return np.stack([x, y, z], axis=-1) * SPACING


def as_entry(centre, radii=RADII) -> dict:
    return {"centre_ijk": (np.asarray(centre) / SPACING).tolist(), "radii_mm": list(radii)}


def head() -> np.ndarray:
    """A phantom: two eyes of water in cones of fat, bone behind and between, lids, and air in front."""
    at, noise = millimetres(), np.random.default_rng(5).normal(0, 12, SHAPE)
    image = np.full(SHAPE, 400.0)
    for centre in (LEFT, RIGHT):
        depth = np.linalg.norm((at - centre) / RADII, axis=-1)
        image[depth < 1.5] = -85
        image[(np.abs(at - centre)[..., 0] < 18) & (at[..., 1] < centre[1] - 6) & (depth >= 1)] = 40
        image[depth < 1] = 12
    image += noise
    image[at[..., 1] < 40] = -1000
    return np.rint(image).astype(np.int16)


def test_painted_eyes_are_found_within_a_millimetre():
    starts = [(LEFT + [4, -3, 2]) / SPACING, (RIGHT + [-3, 3, -3]) / SPACING]
    left, right = fit_eyes.fit(head(), SPACING, starts)
    for eye, centre in ((left, LEFT), (right, RIGHT)):
        assert np.linalg.norm(eye.centre - centre) < 1
        assert np.abs(eye.radii - RADII).max() < 1
        assert fit_eyes.void_share(head(), SPACING, eye) < fit_eyes.VOID_SHARE
    assert left.centre[0] > right.centre[0]


def test_a_fit_is_made_as_large_as_its_eye():
    fitted = fit_eyes.Eye(LEFT, RADII)
    assert fitted.whole().volume_ml == pytest.approx(fitted.volume_ml / fit_eyes.FITTED_SHARE)


def test_fitted_eyes_can_be_painted_smaller_and_drawn_ones_not():
    both = {"state": "drawn", "Eye_L": as_entry(LEFT), "Eye_R": as_entry(RIGHT)}
    empty = np.zeros(SHAPE, np.uint8)
    whole, small = ((eyes.paint(patient, empty, SPACING) == 8).sum() for patient in (both, eyes.scaled(both, 0.9)))
    assert small / whole == pytest.approx(0.9**3, abs=0.05)
    drawn = both | {"Eye_R": {"contours": {"24": [[1, 1], [3, 1], [3, 3]]}}}
    with pytest.raises(ValueError, match="can be scaled"):
        eyes.scaled(drawn, 0.9)
    assert eyes.scaled({"state": "absent"}, 0.9) == {"state": "absent"} and eyes.scaled(drawn, 1.0) == drawn


def test_a_cut_eye_is_told():
    image = head()
    image[int(LEFT[2] / SPACING[2]) + 2 :] = fit_eyes.VOID_HU
    assert fit_eyes.void_share(image, SPACING, fit_eyes.Eye(LEFT, RADII)) > 0.1
    above = fit_eyes.Eye(LEFT + [0, 0, SHAPE[0] * 2.5 - LEFT[2]], RADII)
    assert fit_eyes.void_share(head(), SPACING, above) > 0.3


def test_ellipsoid_and_polygons_have_their_volume_and_place():
    ball = eyes.mask(as_entry(LEFT), SHAPE, SPACING)
    assert ball.sum() * SPACING.prod() == pytest.approx(4 / 3 * np.pi * RADII.prod(), rel=0.05)
    assert np.argwhere(ball).mean(axis=0)[::-1] * SPACING == pytest.approx(LEFT, abs=0.4)
    square = {"contours": {"7": [[9.5, 4.5], [14.5, 4.5], [14.5, 8.5], [9.5, 8.5]]}}
    filled = eyes.mask(square, SHAPE, SPACING)
    assert filled.sum() == 20 and filled[7, 5:9, 10:15].all()


def test_a_voxel_is_inside_if_half_of_it_is():
    wide = {"contours": {"0": [[9.5, 4.5], [12.1, 4.5], [12.1, 5.5], [9.5, 5.5]]}}
    narrow = {"contours": {"0": [[9.5, 4.5], [11.9, 4.5], [11.9, 5.5], [9.5, 5.5]]}}
    assert eyes.mask(wide, SHAPE, SPACING).sum() == 3
    assert eyes.mask(narrow, SHAPE, SPACING).sum() == 2


def test_an_ellipsoid_at_the_scans_edge_is_cut_there():
    top = eyes.mask(as_entry([100, 60, (SHAPE[0] - 1) * 2.5]), SHAPE, SPACING)
    low = eyes.mask(as_entry([0, 0, 0]), SHAPE, SPACING)
    whole = eyes.mask(as_entry([100, 60, 60]), SHAPE, SPACING).sum()
    assert 0.45 < top.sum() / whole < 0.65
    assert 0.1 < low.sum() / whole < 0.25
    assert not eyes.mask(as_entry([100, 60, 400]), SHAPE, SPACING).any()


def test_a_data_set_gets_its_eyes(tmp_path):
    """Drawn eyes have voxels on the right sides; absent ones are known on every slice; unknown ones nowhere."""
    names = ("drawn", "absent", "unknown", "partial", "missing")
    organ = np.zeros(SHAPE, np.uint8)
    organ[20:28, 10:16, 30:38] = 1
    for name in names:
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for file, volume in (("data", head()), ("label", organ)):
            nib.save(nib.Nifti1Image(volume.T, np.diag([-3.9, -3.9, 2.5, 1])), folder / f"{file}.nii.gz")
    index, table = tmp_path / "index.json", tmp_path / "eyes.json"
    index.write_text(json.dumps({f"train/{n}": {"context": {"Brainstem": 1.0}} for n in names}))
    table.write_text(
        json.dumps(
            {
                "drawn": {"Eye_L": as_entry(LEFT), "Eye_R": as_entry(RIGHT)},
                "absent": {"state": "absent"},
                "unknown": {"state": "unknown"},
                "partial": {"state": "partial"},
            }
        )
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.json").write_text(json.dumps({"validation/other": {"context": {}}}))

    assert eyes.write_split(tmp_path / "train", index, table, out) == {
        "drawn": 1,
        "absent": 1,
        "unknown": 2,
        "partial": 1,
    }

    assert set(json.loads((out / "index.json").read_text())) == {"validation/other", *(f"train/{n}" for n in names)}
    data = Data(train="", validation="", cache="", labels=CLASSES, index=str(out / "index.json"))
    read = {n: patients.read(out / "train" / n, data) for n in names}
    left, right = (ORGANS.index(eye) + 1 for eye in eyes.LABELS)
    drawn = read["drawn"].labels
    assert np.argwhere(drawn == left)[:, 2].min() > np.argwhere(drawn == right)[:, 2].max()
    assert ((drawn == 1) == (organ == 1)).all()
    for name in ("drawn", "absent"):
        assert read[name].sound_slices(left).all() and read[name].sound_slices(right).all()
    for name in ("unknown", "partial", "missing"):
        assert not read[name].sound_slices(left).any()
    for name in ("absent", "unknown", "partial", "missing"):
        assert not np.isin(read[name].labels, (left, right)).any()
    assert (read["drawn"].image == head()).all()


def test_an_eye_never_overwrites_another_organ():
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :, 36] = 3
    painted = eyes.paint({"state": "drawn", "Eye_L": as_entry(LEFT), "Eye_R": as_entry(RIGHT)}, labels, SPACING)
    assert (painted[:, :, 36] == 3).all() and (painted == 8).sum() > 100 and (painted == 9).sum() > 100


@pytest.mark.parametrize("entry", [{"state": "maybe"}, {"state": "drawn", "Eye_L": as_entry(LEFT)}])
def test_a_bad_entry_is_refused(tmp_path, entry):
    path = tmp_path / "eyes.json"
    path.write_text(json.dumps({"TEST": entry}))
    with pytest.raises(ValueError, match="TEST"):
        eyes.load(path)


def test_the_sheet_shows_the_contour(tmp_path):
    from PIL import Image

    patient = {"state": "drawn", "Eye_L": as_entry(LEFT), "Eye_R": as_entry(RIGHT)}
    eye_sheets.write([("TEST", head(), SPACING, patient)], tmp_path / "sheet.png")
    red, green, blue = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int).transpose(2, 0, 1)
    assert ((red > 200) & (green < 80) & (blue < 80)).sum() > 300


def test_the_training_patients_eyes_are_eyes():
    """Of a size that eyes have, left of one another, about as far apart as eyes are."""
    table = eyes.load(TRAINING_EYES)
    drawn = [entry for entry in table.values() if entry["state"] == "drawn"]
    assert len(drawn) >= 50 and sum(entry["state"] == "absent" for entry in table.values()) >= 50
    for entry in drawn:
        left, right = entry["Eye_L"], entry["Eye_R"]
        assert left["centre_ijk"][0] > right["centre_ijk"][0] + 8
        for eye in (left, right):
            assert 6 < 4 / 3 * np.pi * np.prod(eye["radii_mm"]) / 1000 < 13
