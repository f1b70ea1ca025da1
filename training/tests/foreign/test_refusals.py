"""What can't be imported is refused by a sentence, and nothing is left behind."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from test_import import run
from tiny import DATASET, PLAIN, PLAIN_PLANS, architecture, edit

FINAL = "fold_0/checkpoint_final.pth"


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


def configure(folder: Path, **changes) -> None:
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"] |= changes
    (folder / "plans.json").write_text(json.dumps(plans))


def arguments_of_network(folder: Path, **changes) -> None:
    configure(folder, architecture=architecture("PlainConvUNet", PLAIN | changes))


def checkpoint(folder: Path, change) -> None:
    """Writes fold 0's anew, as `change` leaves it."""
    state = torch.load(folder / FINAL, weights_only=False)
    torch.save(change(state), folder / FINAL)


def cut(folder: Path) -> None:
    content = (folder / FINAL).read_bytes()
    (folder / FINAL).write_bytes(content[: len(content) // 2])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / FINAL).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / FINAL).write_bytes(content)


def compressed(folder: Path) -> None:
    with zipfile.ZipFile(folder / FINAL) as old, zipfile.ZipFile(folder / "new", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    (folder / "new").rename(folder / FINAL)


def not_numbers(state: dict) -> dict:
    state["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"][0] = float("nan")
    return state


def without_a_layer(state: dict) -> dict:
    del state["network_weights"]["decoder.seg_layers.1.bias"]
    return state


CASES = {
    "cut file": (cut, "fold_0/checkpoint_final.pth is cut off"),
    "wrong checksum": (flip_a_bit, "doesn't match its checksum"),
    "compressed checkpoint": (compressed, "is compressed"),
    "no weights": (lambda f: (f / FINAL).write_bytes(b""), "is cut off or no checkpoint of PyTorch"),
    "pickle that is no checkpoint": (lambda f: torch.save([1, 2], f / FINAL), "isn't a checkpoint of nnU-Net v2"),
    "no plans.json": (lambda f: (f / "plans.json").unlink(), "has no plans.json: name the folder"),
    "no dataset.json": (lambda f: (f / "dataset.json").unlink(), "dataset.json is missing"),
    "broken JSON": (lambda f: (f / "plans.json").write_text('{"a": '), "plans.json is no valid JSON"),
    "JSON of another kind": (lambda f: (f / "dataset.json").write_text("[]"), "dataset.json holds no JSON object"),
    "v1": (lambda f: (f / "plans.json").rename(f / "plans.pkl"), "nnU-Net v1"),
    "no folds": (lambda f: [shutil.rmtree(f / f"fold_{n}") for n in (0, 1)], "the weights are missing"),
    "unfinished fold": (lambda f: (f / FINAL).unlink(), "no checkpoint_final.pth in fold 0: complete it"),
    "MR channel": (lambda f: edit(f / "dataset.json", channel_names={"0": "MRI"}), "channel is 'MRI', not CT"),
    "two channels": (
        lambda f: edit(f / "dataset.json", channel_names={"0": "CT", "1": "PET"}),
        "takes 2 channels (CT, PET)",
    ),
    "other normalisation": (
        lambda f: configure(f, normalization_schemes=["ZScoreNormalization"]),
        "normalised by ZScoreNormalization",
    ),
    "cascade": (lambda f: configure(f, previous_stage="3d_lowres"), "the second stage of a cascade"),
    "2d": (lambda f: configure(f, patch_size=[32, 32]), "3d_fullres is a 2D network"),
    "other resampling": (
        lambda f: configure(f, resampling_fn_data="resample_torch_fornnunet"),
        "resamples by resample_torch_fornnunet",
    ),
    "resampling with something unknown": (
        lambda f: configure(f, resampling_fn_data_kwargs={"order": 3, "mode": "edge"}),
        "resamples with mode",
    ),
    "other preprocessor": (lambda f: configure(f, preprocessor_name="Mine"), "preprocessor Mine"),
    "other network": (
        lambda f: configure(f, architecture=architecture("ResidualUNet", PLAIN)),
        "Its network is a dynamic_network_architectures.architectures.unet.ResidualUNet",
    ),
    "network from elsewhere": (
        lambda f: configure(f, architecture={"network_class_name": "os.PlainConvUNet", "arch_kwargs": PLAIN}),
        "Its network is a os.PlainConvUNet",
    ),
    "activation to be imported": (lambda f: arguments_of_network(f, nonlin="os.system"), "nonlin = 'os.system'"),
    "squeeze and excitation": (lambda f: arguments_of_network(f, squeeze_excitation=True), "squeeze_excitation"),
    "endless stages": (lambda f: arguments_of_network(f, n_stages=10**9), "a network of 1000000000 stages"),
    "a patch that strides don't divide": (
        lambda f: configure(f, patch_size=[15, 32, 32]),
        "The patch [15, 32, 32]",
    ),
    "no spacing": (lambda f: configure(f, spacing=[0, 1, 1]), "spacing = [0, 1, 1]"),
    "missing key": (
        lambda f: (f / "plans.json").write_text(json.dumps(PLAIN_PLANS | {"configurations": {"3d_fullres": {}}})),
        "plans.json isn't as nnU-Net writes it (KeyError: 'patch_size')",
    ),
    "weights of wider layers": (
        lambda f: arguments_of_network(f, features_per_stage=[4, 6, 12]),
        "don't fit the network of plans.json: encoder.stages.2.0.convs.0.conv.weight is (8, 6, 3, 3, 3), not (12,",
    ),
    "weights of a deeper network": (
        lambda f: arguments_of_network(f, n_conv_per_stage=[2, 2, 2]),
        "lacks encoder.stages.1.0.convs.1.conv.bias (4 missing, 0 unknown)",
    ),
    "a label more than outputs": (
        lambda f: edit(f / "dataset.json", labels=DATASET["labels"] | {"Mandible": 5}),
        "decoder.seg_layers.0.weight is (5, 6, 1, 1, 1), not (6,",
    ),
    "a layer too few": (lambda f: checkpoint(f, without_a_layer), "lacks decoder.seg_layers.1.bias"),
    "weights that are no numbers": (lambda f: checkpoint(f, not_numbers), "weights that are no numbers"),
    "folds of two trainings": (
        lambda f: checkpoint(f, lambda state: state | {"inference_allowed_mirroring_axes": None}),
        "Folds 0 and 1 don't belong together",
    ),
    "unknown trainer": (
        lambda f: [checkpoint(f, lambda s: s | {"trainer_name": "nnUNetTrainerSwin"}), shutil.rmtree(f / "fold_1")],
        "nnUNetTrainerSwin",
    ),
    "labels of v1": (
        lambda f: edit(f / "dataset.json", labels={"0": "background", "1": "Brainstem"}),
        "names its labels as nnU-Net v1 did",
    ),
    "labels with a gap": (
        lambda f: edit(f / "dataset.json", labels={"background": 0, "Brainstem": 2}),
        "dataset.json's labels are [2]",
    ),
    "labels that nobody knows": (
        lambda f: edit(f / "dataset.json", labels={"background": 0, "GTVp": 1, "Brainstem": 2, "thing": 3, "x": 4}),
        "The table has no name for 'GTVp', 'thing', 'x': name each in a map (--organs)",
    ),
    "two labels of one organ": (
        lambda f: edit(f / "dataset.json", labels=DATASET["labels"] | {"Larynx": 5, "brain stem": 4}),
        "'Brainstem', 'brain stem' would all be called Brainstem",
    ),
}


def refused(monkeypatch, capsys, out: Path, *arguments) -> str:
    """The sentence; nothing was written or left beside `out`."""
    out.parent.mkdir(exist_ok=True)
    before = sorted(out.parent.iterdir())
    assert run(monkeypatch, *arguments, "--out", out) == 2
    told = capsys.readouterr()
    assert sorted(out.parent.iterdir()) == before
    assert told.err.count("\n") == 1 and "Traceback" not in told.err
    return told.err


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_by_a_sentence(case, folder, tmp_path, monkeypatch, capsys):
    damage, sentence = CASES[case]
    damage(folder)
    assert sentence in refused(monkeypatch, capsys, tmp_path / "out" / "model", folder)


MAPS = {
    "no TG-263 name": ({"Brainstem": "brain stem"}, "The map has 'brain stem', which no organ may be called"),
    "a device of Windows": ({"Brainstem": "NUL"}, "'NUL'"),
    "an organ twice": ({"Brainstem": "parotid_l"}, "'Brainstem', 'LeftParotid' would all be called parotid_l"),
    "a foreign label": ({"Liver": "Liver"}, "The map names 'Liver', which the network doesn't have"),
    "nothing left": (dict.fromkeys(("Brainstem", "LeftParotid", "RightParotid", "Larynx"), ""), "every label out"),
    "a wrong colour": ({"Brainstem": {"name": "Brainstem", "color": "green"}}, "the color 'green'"),
    "a code without meaning": ({"Brainstem": {"name": "Brainstem", "code": "119238007"}}, "a code without its meaning"),
    "a third side": ({"Brainstem": {"name": "Brainstem", "laterality": "middle"}}, "the laterality 'middle'"),
    "an unknown key": ({"Brainstem": {"name": "Brainstem", "colour": "#000000"}}, "has unknown colour"),
    "a list": (["Brainstem"], "must be an object"),
    "a name that is a number": ({"Brainstem": 4}, "neither a name nor an object"),
    "nothing": ({}, "is empty"),
    "broken JSON": ('{"Brainstem"', "is no valid JSON"),
    "a label twice": ('{"Brainstem": "A", "Brainstem": "B"}', "names the label 'Brainstem' twice"),
    "CSV without a name": ("label,organ\nBrainstem,Brainstem\n", "needs a first line with the columns label and name"),
    "CSV with a cell too many": ("label,name\nBrainstem,Brainstem,x\n", "Line 2 of the map"),
}


@pytest.mark.parametrize("case", MAPS)
def test_a_wrong_map_is_refused(case, trained, tmp_path, monkeypatch, capsys):
    content, sentence = MAPS[case]
    path = tmp_path / "map"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert sentence in refused(monkeypatch, capsys, tmp_path / "model", trained[0], "--organs", path)


def test_a_checkpoint_that_would_run_something_is_not_run(folder, tmp_path, monkeypatch, capsys):
    """With PyTorch's ordinary reader it would, as the test shows first."""
    trace = tmp_path / "trace"
    checkpoint(folder, lambda state: state | {"logging": Trap(trace)})
    torch.load(folder / FINAL, weights_only=False)
    assert trace.exists()
    trace.unlink()
    told = refused(monkeypatch, capsys, tmp_path / "model", folder)
    assert "asks for posix.system to be run" in told and "Nothing of it was run" in told
    assert not trace.exists()


def zipped(path: Path, folder: Path, *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(folder.name) / file.relative_to(folder))
        for entry, content in more:
            archive.writestr(entry, content)
    return path


def test_zips_that_would_reach_elsewhere_are_refused(folder, tmp_path, monkeypatch, capsys):
    link = zipfile.ZipInfo("nnUNetTrainer__nnUNetPlans__3d_fullres/fold_2")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    outside = "would lie outside"
    for entry, sentence in (
        (zipfile.ZipInfo("../evil"), outside), (zipfile.ZipInfo("/evil"), outside),
        (zipfile.ZipInfo("a/../../b"), outside),
        (zipfile.ZipInfo("C:/evil"), outside), (link, "the link"),
    ):  # fmt: skip
        packed = zipped(tmp_path / "a.zip", folder, (entry, b"/etc"))
        assert sentence in refused(monkeypatch, capsys, tmp_path / "model", packed)
    assert not (tmp_path.parent / "evil").exists()


def test_damaged_zips_are_refused(folder, tmp_path, monkeypatch, capsys):
    packed = zipped(tmp_path / "a.zip", folder)
    whole = bytearray(packed.read_bytes())
    packed.write_bytes(whole[: len(whole) // 2])
    assert "is no whole zip file" in refused(monkeypatch, capsys, tmp_path / "model", packed)
    packed.write_bytes(b"no zip")
    assert "neither a folder nor a whole zip file" in refused(monkeypatch, capsys, tmp_path / "model", packed)
    with zipfile.ZipFile(zipped(packed, folder)) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith(FINAL))
    whole[entry.header_offset + 1000] ^= 1
    packed.write_bytes(whole)
    assert "is damaged" in refused(monkeypatch, capsys, tmp_path / "model", packed)


def test_several_networks_are_to_be_chosen_from(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path / "both" / "nnUNetTrainer__nnUNetPlans__3d_lowres")
    shutil.copytree(folder, tmp_path / "both" / folder.name)
    told = refused(monkeypatch, capsys, tmp_path / "model", tmp_path / "both")
    assert "choose by --configuration" in told and "3d_lowres" in told
    told = refused(monkeypatch, capsys, tmp_path / "model", tmp_path / "both", "--configuration", "2d")
    assert "no network of the configuration 2d" in told
    told = refused(monkeypatch, capsys, tmp_path / "model", tmp_path / "both", "--configuration", "3d_lowres")
    assert "no configuration '3d_lowres'" in told  # the folder's name lies
    folder.rename(tmp_path / "renamed")
    told = refused(monkeypatch, capsys, tmp_path / "model", tmp_path / "renamed", "--configuration", "3d_lowres")
    assert "The weights are of the configuration 3d_fullres, not 3d_lowres" in told


def test_wrong_options_are_refused(trained, tmp_path, monkeypatch, capsys):
    folder, out = trained[0], tmp_path / "model"
    for options, sentence in (
        (("--folds", "0", "7"), "has no fold 7. It has 0, 1."),
        (("--checkpoint", "latest.pth"), "has no latest.pth in fold 0, 1"),
        (("--checkpoint", "../checkpoint_final.pth"), "is a path"),
        (("--configuration", "3d_lowres"), "no network of the configuration 3d_lowres. It has"),
        (("--name", "a/b"), "--name a/b cannot name a folder"),
        (("--version", ".."), "--version .. cannot name a folder"),
        (("--labels-of", "Nobody"), "The table knows no labels of 'Nobody'"),
        (("--organs", tmp_path / "none.json"), "cannot be read"),
    ):
        assert sentence in refused(monkeypatch, capsys, out, folder, *options)
    assert "There is no" in refused(monkeypatch, capsys, out, tmp_path / "none")
    assert run(monkeypatch, folder, "--out", tmp_path / "new" / "folders" / "model", "--folds", "7") == 2
    assert capsys.readouterr().err and not (tmp_path / "new").exists()
    out.mkdir()
    assert "exists already" in refused(monkeypatch, capsys, out, folder)
    assert list(out.iterdir()) == []


def test_mirroring_only_where_it_was_trained(folder, tmp_path, monkeypatch, capsys):
    shutil.rmtree(folder / "fold_1")
    checkpoint(folder, lambda state: state | {"inference_allowed_mirroring_axes": None})
    told = refused(monkeypatch, capsys, tmp_path / "model", folder, "--mirroring")
    assert "--mirroring can't be" in told


def test_too_many_weights_for_one_file(trained, tmp_path, monkeypatch, capsys):
    from hn_training.foreign import graph

    weights = sum(weight.numel() for weight in trained[1][0].state_dict(keep_vars=True).values())
    assert weights > 10_000
    monkeypatch.setattr(graph, "LARGEST", 30_000)  # bytes
    told = refused(monkeypatch, capsys, tmp_path / "model", trained[0])
    assert "The weights of 2 folds" in told and "choose 1 of them with --folds" in told


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a full disk needs Linux's mount, and root")
def test_a_full_disk_leaves_nothing(trained, tmp_path, monkeypatch, capsys):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system may not be mounted here")
    try:
        told = refused(monkeypatch, capsys, small / "model", trained[0])
        assert f"No space is left on the disk of {small}" in told
    finally:
        subprocess.run(["umount", small], check=True)
