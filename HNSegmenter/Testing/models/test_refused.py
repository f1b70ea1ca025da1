"""What is no model, and what may not be trusted: a sentence each, and nothing half-added."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from HNSegmenterLib import models
from HNSegmenterLib.errors import UnusableModel
from Testing.models.made import NNUNET_WAY, model, sum_up


def sentence(source: Path) -> str:
    """Why it is not added; nothing of it stays."""
    with pytest.raises(UnusableModel) as refused:
        models.add(source)
    assert not models.models_folder().exists() or not list(models.models_folder().iterdir())
    return refused.value.sentence


def without(name):
    return lambda folder: (folder / name).unlink()


def write(name, content: str | bytes, summed=True):
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if summed:
            sum_up(folder)

    return change


def link(folder: Path) -> None:
    (folder / "network.onnx").rename(folder / "elsewhere")
    (folder / "network.onnx").symlink_to("elsewhere")


def pipe(folder: Path) -> None:
    (folder / "network.onnx").unlink()
    os.mkfifo(folder / "network.onnx")


def is_folder(folder: Path) -> None:
    (folder / "organs.json").unlink()
    (folder / "organs.json").mkdir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("network.onnx"), "network.onnx is missing"),
        (without("SHA256SUMS"), "SHA256SUMS is missing"),
        (write("network.onnx", b"", summed=False), "network.onnx is empty"),
        (write("network.onnx", b"other", summed=False), "network.onnx does not match its checksum"),
        (write("organs.json", "{}", summed=False), "organs.json does not match its checksum"),
        (write("model.json", "[" * 100_000), "model.json is not valid JSON"),
        (write("model.json", b"\xff\xfe\xff"), "model.json is not valid JSON"),
        (write("organs.json", "[]"), "organs.json is no JSON object"),
        (write("SHA256SUMS", "nothing", summed=False), "SHA256SUMS does not name just"),
        (write("network.onnx.data", b"weights"), "the weights are outside of network.onnx"),
        (link, "network.onnx is a link"),
        (pipe, "network.onnx is no plain file"),
        (is_folder, "organs.json is no plain file"),
    ],
)
def test_folders_that_are_not_whole(tmp_path, change, said):
    folder = model(tmp_path / "bad")
    change(folder)
    assert said in sentence(folder)


def about(**values):
    return lambda described, _: described.update(values)


def preprocessing(**values):
    return lambda described, _: described["preprocessing"].update(values)


def organ(**values):
    return lambda _, organs: organs[0].update(values)


def nnunet(output="labels", **values):
    return about(method="nnunet", output=output, preprocessing=NNUNET_WAY | values)


def twice(key):
    return lambda _, organs: organs[1].update({key: organs[0][key]})


CODE = {"value": "1", "scheme": "SCT", "meaning": "Organ"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (about(contract=2), "it follows contract 2, this program knows 1"),
        (about(contract=True), "it follows contract True"),
        (about(name="../../etc"), "its name '../../etc' cannot name a folder"),
        (about(name="a:b"), "its name 'a:b' cannot name a folder"),
        (about(name="aux"), "its name 'aux' cannot name a folder"),
        (about(name=7), "its name 7 cannot name a folder"),
        (about(version="1/2"), "its version '1/2' cannot name a folder"),
        (about(version=""), "its version '' cannot name a folder"),
        (about(method="totalsegmentator"), "by the method 'totalsegmentator'"),
        (about(preprocessing=None), 'no "preprocessing"'),
        (about(trained="by me"), '"trained" is no object'),
        (preprocessing(spacing_mm=[1, 1, 0]), "no usable preprocessing.spacing_mm"),
        (preprocessing(spacing_mm=[1, 1]), "no usable preprocessing.spacing_mm"),
        (preprocessing(hu_scale=float("nan")), "no usable preprocessing.hu_scale"),
        (preprocessing(hu_clip=[600, -400]), "no usable preprocessing.hu_clip"),
        (preprocessing(axes="RAS"), "no usable preprocessing.axes"),
        (preprocessing(overlap=1), "no usable preprocessing.overlap"),
        (nnunet(transpose=[0, 1, 1]), "no usable preprocessing.transpose"),
        (nnunet(image_order=9), "no usable preprocessing.image_order"),
        (nnunet(mirror_axes=[3]), "no usable preprocessing.mirror_axes"),
        (nnunet(step=0), "no usable preprocessing.step"),
        (nnunet(output="heat"), '"labels" or "regions"'),
        (lambda d, o: (nnunet()(d, o), organ(channel=0)(d, o)), "channel 0, which is the background"),
        (lambda _, organs: organs.clear(), "would draw nothing"),
        (lambda _, organs: [one.update(channel=None) for one in organs], "would draw nothing"),
        (organ(name="../Brain"), "'../Brain', which cannot name a file"),
        (organ(name="Glándula"), "'Glándula', which cannot name a file"),
        (organ(name=None), "None, which cannot name a file"),
        (organ(name="x" * 65), "cannot name a file"),
        (organ(label=0), "has no label from 1"),
        (organ(label=True), "has no label from 1"),
        (organ(color=[0, 0, 256]), "has no color"),
        (organ(channel=-1), "has no channel"),
        (lambda _, organs: organs[0].pop("channel"), "has no channel"),
        (organ(code="119238007"), "the code of Bone_Mandible in organs.json is no coded concept"),
        (organ(code=CODE | {"value": "1" * 17}), "is no coded concept"),
        (organ(laterality=CODE | {"meaning": "Left\\Right"}), "the laterality of Bone_Mandible"),
        (twice("name"), "the same name"),
        (lambda _, organs: organs[1].update(name="BONE_MANDIBLE"), "the same name"),
        (twice("label"), "the same label"),
        (twice("channel"), "the same channel"),
    ],
)
def test_descriptions_that_are_wrong(tmp_path, change, said):
    assert said in sentence(model(tmp_path / "bad", change=change))


def test_what_was_trained_must_be_imported_first(tmp_path):
    trained = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (trained / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (trained / name).write_text("{}")
    assert "python -m hn_training import-nnunet" in sentence(trained)
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path, trained.name))
    assert "python -m hn_training import-nnunet" in sentence(archive)
    parent = tmp_path / "Dataset501_x"
    parent.mkdir()
    trained.rename(parent / trained.name)
    assert "python -m hn_training import-nnunet" in sentence(parent)


def test_sources_that_are_none(tmp_path):
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "empty").mkdir()
    assert "cannot be read (No such file" in sentence(tmp_path / "nothing")
    assert "neither a folder nor a ZIP archive" in sentence(tmp_path / "text")
    assert "holds no model" in sentence(tmp_path / "empty")


def zipped(tmp_path: Path, folder: Path, prefix: str = "", **more: bytes) -> Path:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def test_archives_that_name_files_outside_of_themselves(tmp_path):
    folder = model(tmp_path / "good")
    for name in ("../evil", "/etc/evil", "a/../../evil", "C:/evil"):
        assert "outside of itself" in sentence(zipped(tmp_path, folder, **{name: b"x"}))


def test_archives_of_links_of_passwords_and_of_two_models(tmp_path):
    folder = model(tmp_path / "good")
    path = zipped(tmp_path, folder)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("SHA256SUMS", "model.json", "organs.json"):
            archive.write(folder / name, name)
        linked = zipfile.ZipInfo("network.onnx")
        linked.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(linked, "/etc/passwd")
    assert "network.onnx is a link or a device" in sentence(path)
    assert "holds 2 models" in sentence(zipped(tmp_path, folder, **{"other/model.json": b"{}"}))
    whole = bytearray(zipped(tmp_path, folder).read_bytes())
    at = -1
    while (at := whole.find(b"PK\x01\x02", at + 1)) >= 0:
        whole[at + 8] |= 1  # the central directory's flag of encryption
    path.write_bytes(whole)
    assert "is encrypted" in sentence(path)


def test_an_archive_that_would_unpack_to_far_more_is_not_unpacked(tmp_path):
    folder = model(tmp_path / "good")
    (folder / "network.onnx").write_bytes(bytes(40_000_000))
    sum_up(folder)
    assert "far more than a network" in sentence(zipped(tmp_path, folder))


def test_an_archive_that_was_cut_or_changed(tmp_path):
    folder = model(tmp_path / "good", source=Path(__file__).parents[3] / "docker" / "hn_network" / "model")
    path = zipped(tmp_path, folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "neither a folder nor a ZIP archive" in sentence(path)
    path.write_bytes(whole[:100_000] + bytes(1000) + whole[101_000:])
    assert "is a damaged archive" in sentence(path)


def test_numbers_that_json_lets_pass_are_none(tmp_path):
    folder = model(tmp_path / "bad")
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace('"hu_shift": 100.0', '"hu_shift": Infinity'))
    sum_up(folder)
    assert json.loads((folder / "model.json").read_text())["preprocessing"]["hu_shift"] == float("inf")
    assert "no usable preprocessing.hu_shift" in sentence(folder)
