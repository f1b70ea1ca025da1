"""What cannot be segmented is refused: exit 2, one sentence, no traceback, no output, no file name in the log."""

from __future__ import annotations

import gzip
import json
import signal
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from Testing.container.phantoms import PREDICT, events, predict, write_ct, write_model

sys.path.insert(0, str(PREDICT.parent))
from hn_network.main import main

SHAPE = (48, 52, 50)
SPACING = (4.6, 4.6, 4.6)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), ["Brainstem", "Parotid_L"])


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ct") / "good.nii"
    write_ct(path, SHAPE, SPACING)
    return path


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None, **header) -> Path:
    if affine is None:
        affine = np.diag([-4.6, -4.6, 4.6, 1.0])
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    for field, value in header.items():
        image.header[field] = value
    nib.save(image, path)
    return path


def hounsfield(good: Path) -> np.ndarray:
    return np.asarray(nib.load(good).dataobj)


def patched(good: Path, folder: Path, offset: int, data: bytes) -> Path:
    """The good file with some bytes of its header replaced."""
    content = bytearray(good.read_bytes())
    content[offset : offset + len(data)] = data
    path = folder / "patched.nii"
    path.write_bytes(content)
    return path


def text(good, folder):
    (folder / "x.nii").write_text("This is not an image. " * 100)
    return folder / "x.nii"


def empty_file(good, folder):
    (folder / "x.nii").touch()
    return folder / "x.nii"


def short_header(good, folder):
    (folder / "x.nii").write_bytes(good.read_bytes()[:200])
    return folder / "x.nii"


def truncated(good, folder):
    (folder / "x.nii").write_bytes(good.read_bytes()[:-5000])
    return folder / "x.nii"


def truncated_gz(good, folder):
    (folder / "x.nii.gz").write_bytes(gzip.compress(good.read_bytes())[:-3000])
    return folder / "x.nii.gz"


def damaged_gz(good, folder):
    content = bytearray(gzip.compress(good.read_bytes()))
    content[len(content) // 2 : len(content) // 2 + 400] = b"\xff" * 400
    (folder / "x.nii.gz").write_bytes(content)
    return folder / "x.nii.gz"


def gz_in_name_only(good, folder):
    (folder / "x.nii.gz").write_bytes(good.read_bytes())
    return folder / "x.nii.gz"


def other_name(good, folder):
    (folder / "x.dcm").write_bytes(good.read_bytes())
    return folder / "x.dcm"


def a_folder(good, folder):
    (folder / "x.nii").mkdir()
    return folder / "x.nii"


def four_dimensions(good, folder):
    return save(folder / "x.nii", np.stack([hounsfield(good)] * 2, axis=-1))


def one_slice(good, folder):
    return save(folder / "x.nii", hounsfield(good)[:, :, :1])


def two_dimensions(good, folder):
    return save(folder / "x.nii", hounsfield(good)[:, :, 0])


def few_slices(good, folder):
    return save(folder / "x.nii", hounsfield(good)[:, :, :4])


def colour(good, folder):
    rgb = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return save(folder / "x.nii", rgb)


def complex_numbers(good, folder):
    return save(folder / "x.nii", hounsfield(good).astype(np.complex64))


def not_a_number(good, folder):
    voxels = hounsfield(good).astype(np.float32)
    voxels[3, 4, 7] = np.nan
    return save(folder / "x.nii", voxels)


def infinite(good, folder):
    voxels = hounsfield(good).astype(np.float64)
    voxels[3, 4, 7] = np.inf
    return save(folder / "x.nii", voxels)


def constant(good, folder):
    return save(folder / "x.nii", np.full(SHAPE, 40, np.int16))


def air_only(good, folder):
    return save(folder / "x.nii", np.random.default_rng(0).normal(-1000, 60, SHAPE).astype(np.int16))


def an_mr(good, folder):
    return save(folder / "x.nii", np.clip(hounsfield(good) + 300, 0, None).astype(np.int16))


def without_intercept(good, folder):
    return save(folder / "x.nii", (hounsfield(good) + 1024).clip(0).astype(np.uint16))


def intercept_twice(good, folder):
    return save(folder / "x.nii", (hounsfield(good) - 1024).astype(np.int16))


def normalised(good, folder):
    return save(folder / "x.nii", ((hounsfield(good) + 1000) / 2000).astype(np.float32))


def a_labelmap(good, folder):
    return save(folder / "x.nii", (hounsfield(good) > 0).astype(np.uint8))


def no_soft_tissue(good, folder):
    return save(folder / "x.nii", np.where(hounsfield(good) > -300, 1500, -1000).astype(np.int16))


def no_head(good, folder):
    voxels = np.full(SHAPE, -1000, np.int16)
    voxels[20:26, 20:26, 20:30] = 30
    voxels[20:26, 20:26, 10] = 200
    return save(folder / "x.nii", voxels)


def orientation_unknown(good, folder):
    return patched(good, folder, 252, b"\0\0\0\0")


def contradicting_orientations(good, folder):
    image = nib.load(good)
    image.set_qform(np.diag([1, 1, -1, 1]) @ image.affine, code=1)
    nib.save(image, folder / "x.nii")
    return folder / "x.nii"


def singular(good, folder):
    return turned(good, folder, np.array([[-4.6, -4.6, 0, 0], [0, 0, 0, 0], [0, 0, 4.6, 0], [0, 0, 0, 1]]))


def sheared(good, folder):
    return turned(good, folder, np.array([[-4.6, 0, 0, 0], [0, -4.6, 1.5, 0], [0, 0, 4.6, 0], [0, 0, 0, 1]]))


def turned(good, folder, affine):
    image = nib.Nifti1Image(hounsfield(good), None)
    image.header.set_sform(affine, code=1)
    nib.save(image, folder / "x.nii")
    return folder / "x.nii"


def position_not_a_number(good, folder):
    return patched(good, folder, 292, np.array([np.nan], "<f4").tobytes())


def tiny_spacing(good, folder):
    return save(folder / "x.nii", hounsfield(good), np.diag([-0.01, -0.01, 0.01, 1]))


def huge_spacing(good, folder):
    return save(folder / "x.nii", hounsfield(good), np.diag([-4.6, -4.6, 25, 1]))


def in_metres(good, folder):
    return patched(good, folder, 123, b"\x01")


def small_field_of_view(good, folder):
    return save(folder / "x.nii", hounsfield(good), np.diag([-0.25, -0.25, 0.25, 1]))


def slope_not_a_number(good, folder):
    return patched(good, folder, 112, np.array([1.0, np.inf], "<f4").tobytes())


def rotation_impossible(good, folder):
    content = bytearray(good.read_bytes())
    content[252:256] = np.array([1, 1], "<i2").tobytes()
    content[256:268] = np.array([3, 3, 3], "<f4").tobytes()
    (folder / "x.nii").write_bytes(content)
    return folder / "x.nii"


def negative_size(good, folder):
    return patched(good, folder, 44, np.array([-50], "<i2").tobytes())


def enormous_size(good, folder):
    return patched(good, folder, 42, np.array([30000] * 3, "<i2").tobytes())


def unit_in_micrometres(good, folder):
    return patched(good, folder, 123, b"\x03")


def no_such_file(good, folder):
    return folder / "x.nii"


KINDS = {
    text: "NIfTI", empty_file: "empty", short_header: "NIfTI", truncated: "ends too early",
    truncated_gz: "ends too early", damaged_gz: "damaged", gz_in_name_only: "NIfTI",
    other_name: "neither .nii nor .nii.gz",
    a_folder: "folder", four_dimensions: "4 dimensions", one_slice: "single slice", two_dimensions: "single slice",
    few_slices: "measures", colour: "colours", complex_numbers: "complex", not_a_number: "Slice 8 of 50",
    infinite: "Slice 8 of 50", constant: "40", air_only: "tissue", an_mr: "MR", without_intercept: "intercept",
    intercept_twice: "1024 too low",
    normalised: "normalised", a_labelmap: "Hounsfield", no_soft_tissue: "soft tissue", no_head: "no head",
    orientation_unknown: "left and right", contradicting_orientations: "contradict", singular: "perpendicular",
    sheared: "perpendicular", position_not_a_number: "no numbers", tiny_spacing: "voxels measure",
    huge_spacing: "voxels measure", in_metres: "millimetres", small_field_of_view: "measures",
    slope_not_a_number: "NIfTI", rotation_impossible: "rotation", no_such_file: "no file",
    negative_size: "no voxels", enormous_size: "too many", unit_in_micrometres: "millimetres",
}  # fmt: skip


@pytest.fixture
def signals():
    """main() handles signals; pytest gets its own handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_refused_with_a_sentence(kind, good, model, tmp_path, capfd, signals):
    """In this process, to save the start of three dozen; test_refused_by_the_program runs the program itself."""
    folder = tmp_path / "SECRETNAME"
    folder.mkdir()
    path = kind(good, folder)
    path = path.rename(folder / f"SECRETFILE{''.join(path.suffixes)}") if path.exists() else path
    out = tmp_path / "out"
    code = main(["--path", str(path), "--output", str(out), "--model", str(model), "--threads", "1"])
    stdout, stderr = capfd.readouterr()
    said = [json.loads(line) for line in stdout.splitlines()]
    assert code == 2, (stdout, stderr)
    assert said[-1]["event"] == "error" and KINDS[kind] in said[-1]["message"]
    assert ": " in said[-1]["message"] and said[-1]["message"].endswith(".")  # what is wrong: what to do
    assert "Traceback" not in stderr and "SECRET" not in stdout + stderr
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("kind", [truncated_gz, an_mr], ids=lambda kind: kind.__name__)
def test_refused_by_the_program(kind, good, model, tmp_path):
    run = predict("--path", kind(good, tmp_path), "--output", tmp_path / "out", "--model", model)
    assert run.returncode == 2 and KINDS[kind] in events(run)[-1]["message"] and "Traceback" not in run.stderr
    assert list((tmp_path / "out").iterdir()) == []


def scaled_floats(good, folder):
    image = nib.Nifti1Image(((hounsfield(good) + 1024.0) / 0.5).astype(np.float32), nib.load(good).affine)
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, folder / "x.nii.gz")
    return folder / "x.nii.gz"


def scaled_unsigned(good, folder):
    path = save(folder / "x.nii", (hounsfield(good) + 1024).astype(np.uint16), nib.load(good).affine)
    return patched(path, folder, 112, np.array([1.0, -1024.0], "<f4").tobytes())


def doubles(good, folder):
    return save(folder / "x.nii", hounsfield(good).astype(np.float64), nib.load(good).affine)


def big_endian(good, folder):
    image = nib.Nifti1Image(hounsfield(good), None, nib.load(good).header.as_byteswapped(">"))
    nib.save(image, folder / "x.nii")
    return folder / "x.nii"


def a_fourth_axis_of_length_one(good, folder):
    return save(folder / "x.nii", hounsfield(good)[..., None], nib.load(good).affine)


def nifti_2(good, folder):
    nib.save(nib.Nifti2Image(hounsfield(good), nib.load(good).affine), folder / "x.nii")
    return folder / "x.nii"


@pytest.mark.parametrize(
    "kind",
    [scaled_floats, scaled_unsigned, doubles, big_endian, a_fourth_axis_of_length_one, nifti_2],
    ids=lambda kind: kind.__name__,
)
def test_other_ways_to_store_the_same_hu_give_the_same_labelmap(kind, good, model, tmp_path):
    results = []
    for number, path in enumerate((good, kind(good, tmp_path))):
        out = tmp_path / str(number)
        run = predict("--path", path, "--output", out, "--model", model)
        assert run.returncode == 0, run.stderr
        results.append(np.asarray(nib.load(out / "Parotid_L.nii.gz").dataobj))
    assert results[0].any() and np.array_equal(*results)


def test_padding_far_below_air_and_metal_change_nothing_elsewhere(good, model, tmp_path):
    voxels = hounsfield(good).copy()
    voxels[:2] = -3024
    voxels[:, -2:] = -3024
    path = save(tmp_path / "x.nii", voxels, nib.load(good).affine)
    run = predict("--path", path, "--output", tmp_path / "out", "--model", model)
    assert run.returncode == 0, run.stderr
    assert nib.load(tmp_path / "out" / "Brainstem.nii.gz").get_fdata().any()


def test_slightly_different_qform_is_a_warning(good, model, tmp_path):
    image = nib.load(good)
    moved = image.affine.copy()
    moved[:3, 3] += 5
    image.set_qform(moved, code=1)
    nib.save(image, tmp_path / "x.nii")
    run = predict("--path", tmp_path / "x.nii", "--output", tmp_path / "out", "--model", model)
    assert run.returncode == 0
    assert [e for e in events(run) if e["event"] == "warning" and "qform" in e["message"]]
