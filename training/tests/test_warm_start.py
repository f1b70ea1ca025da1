"""A run that starts from the weights of another one, and settings that cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hn_training import config
from hn_training.__main__ import main
from hn_training.data import cache
from hn_training.data.patches import loader
from hn_training.fitting import loop
from hn_training.packing import export, unpack

EYES = [5, 6]
LAYERS = {
    "densevnet": ("initial.0.weight", "classify.weight"),
    "monai-segresnet": ("initial.weight", "body.conv_final.2.conv.weight"),
}
"""First and last of each network."""
MERGED_FILTERS = {"densevnet": "skips.1.0.weight", "monai-segresnet": "body.up_layers.0.0.conv1.conv.weight"}
"""Of a convolution that export merged a norm into."""


def with_eyes(settings: config.Config, start_from: Path, cache: Path) -> config.Config:
    labels = {"Brainstem": 1, "Eye_L": 8, "Eye_R": 9}
    return replace(
        settings,
        data=replace(settings.data, labels=labels, cache=str(cache), index=""),
        optimise=replace(settings.optimise, start_from=str(start_from), steps=2, learning_rate=1e-12),
    )


@pytest.mark.parametrize("network", LAYERS)
def test_weights_are_taken_over_and_new_classes_start_small(network, dataset, tmp_path):
    dataset = replace(dataset, network=config.Network(network))
    initial, classify = LAYERS[network]
    first = loop.train(dataset)
    weights = torch.load(first, weights_only=True)["average"]
    settings = with_eyes(dataset, first, tmp_path / "second")
    second = loop.train(settings)
    state = torch.load(second, weights_only=True)
    assert (state["step"], state["total_steps"], state["origin"]["total_steps"]) == (2, 6, 4)
    assert torch.allclose(state["average"][initial], weights[initial], atol=1e-6)
    assert torch.allclose(state["average"][classify][1], weights[classify][1], atol=1e-6)
    new = state["average"][classify][EYES]
    assert 0 < new.abs().max() < 0.06 and not torch.equal(new[0], new[1])
    assert state["average"]["present"].flatten().tolist() == [True, True, False, False, False, True, True]

    longer = replace(settings, optimise=replace(settings.optimise, steps=3, start_from=str(tmp_path / "gone")))
    assert torch.load(loop.train(longer), weights_only=True)["total_steps"] == 7  # it goes on, and doesn't start again
    _, _, history = export.load_average(second)
    assert history == {"steps": 3, "total_steps": 7, "started_from": state["origin"]["sha256"]}


def test_runs_from_one_start_become_one(dataset, tmp_path, monkeypatch, capsys):
    first = loop.train(dataset)
    runs = []
    for seed in (1, 2):
        optimise = replace(dataset.optimise, start_from=str(first), seed=seed, steps=1 + seed, learning_rate=0.1)
        data = replace(dataset.data, cache=str(tmp_path / f"run{seed}"))
        runs.append(loop.train(replace(dataset, data=data, optimise=optimise)))
    one, two = (torch.load(run, weights_only=True) for run in runs)
    monkeypatch.setattr("sys.argv", ["hn-training", "average", *map(str, runs), "--out", str(tmp_path / "mean.pt")])
    assert main() == 0
    merged = torch.load(tmp_path / "mean.pt", weights_only=True)
    means = next(key for key in merged["average"] if key.endswith("running_mean"))
    for key in (LAYERS[dataset.network.name][1], means):
        assert not torch.equal(one["average"][key], two["average"][key])
        assert torch.allclose(merged["average"][key], (one["average"][key] + two["average"][key]) / 2)
    assert (merged["step"], merged["total_steps"]) == (2 + 3, 4 + 2 + 3)
    export.load_average(tmp_path / "mean.pt")

    monkeypatch.setattr(
        "sys.argv", ["hn-training", "average", str(runs[0]), str(first), "--out", str(tmp_path / "no.pt")]
    )
    assert main() == 2 and "only such runs can be averaged" in capsys.readouterr().err
    assert not (tmp_path / "no.pt").exists()


@pytest.mark.parametrize(
    ("name", "inner"), [("densevnet", "stacks.1.layers.3.1"), ("monai-segresnet", "body.down_layers.0.1.norm2")]
)
def test_a_model_folder_becomes_a_checkpoint_to_start_from(name, inner, dataset, tmp_path, monkeypatch, capsys):
    """It gives the same probabilities, and its batch norms know the statistics of what they meet."""
    dataset = replace(dataset, network=config.Network(name))
    first, model, again = loop.train(dataset), tmp_path / "model", tmp_path / "start.pt"
    export.export(first, model, "two made-up patients", {"Brainstem": 0.7})
    labels = {"Brainstem": 1, "Eye_L": 8, "Eye_R": 9}  # the model knows one of them
    dataset = replace(dataset, data=replace(dataset.data, labels=labels))
    (tmp_path / "my.toml").write_text(as_toml(dataset))
    monkeypatch.setattr(
        "sys.argv", ["hn-training", "unpack", str(model), "--config", str(tmp_path / "my.toml"), "--out", str(again)]
    )
    assert main() == 0
    assert float(capsys.readouterr().out.split()[-1]) < export.TOLERANCE

    network, settings, history = export.load_average(again)
    assert history["total_steps"] == 4 and settings == dataset
    assert network.present.flatten().tolist() == [True, True, False, False, False, False, False]
    filters = dict(network.named_parameters())[MERGED_FILTERS[name]]
    assert torch.allclose(filters.pow(2).mean((1, 2, 3, 4)).sqrt(), torch.tensor(unpack.LEARNT_SIZE))
    norm, seen = network.get_submodule(inner), []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].transpose(0, 1).flatten(1)))
    with torch.no_grad():
        for batch in loader(cache.build(dataset, "train"), dataset, 0):
            network(batch["image"].as_subclass(torch.Tensor))
    met = torch.cat(seen, 1)
    assert torch.allclose(norm.running_mean, met.mean(1), atol=1e-4)
    assert torch.allclose(norm.running_var, met.var(1), rtol=1e-2)

    optimise = replace(dataset.optimise, start_from=str(again), steps=1)
    second = loop.train(replace(dataset, data=replace(dataset.data, cache=str(tmp_path / "second")), optimise=optimise))
    state = torch.load(second, weights_only=True)
    assert state["total_steps"] == 5 and state["average"]["present"].sum() == 4

    (model / "network.onnx").write_bytes(
        (Path(__file__).parents[1] / "fixtures" / "two_organs" / "network.onnx").read_bytes()
    )
    assert main() == 2 and "does not hold a" in capsys.readouterr().err
    (model / "network.onnx").unlink()
    assert main() == 2 and "does not hold a" in capsys.readouterr().err


def test_a_model_folder_of_another_network_is_said_in_one_sentence(dataset, tmp_path, monkeypatch, capsys):
    (tmp_path / "my.toml").write_text(as_toml(dataset))
    model = tmp_path / "model"
    monkeypatch.setattr(
        "sys.argv",
        [
            "hn-training",
            "unpack",
            str(model),
            "--config",
            str(tmp_path / "my.toml"),
            "--out",
            str(tmp_path / "start.pt"),
        ],
    )
    assert main() == 2 and "is not a model folder" in capsys.readouterr().err
    model.mkdir()
    for name, message in (("hn-unet9", 'holds a "unet9"'), ("hn-monai-segresnet", "but")):
        (model / "model.json").write_text(json.dumps({"name": name}))
        assert main() == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "start.pt").exists()


def as_toml(settings: config.Config) -> str:
    """Tables of numbers, strings and lists of numbers, one level deep but for the labels."""
    tables = settings.as_dict()
    tables["data.labels"] = tables["data"].pop("labels")
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [
            f"{name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}"
            for name, value in values.items()
        ]
    return "\n".join(lines)


def test_a_checkpoint_that_is_not_there_or_none_is_said_in_one_sentence(dataset, tmp_path):
    with pytest.raises(config.ConfigError, match="there is no file"):
        loop.train(with_eyes(dataset, tmp_path / "none.pt", tmp_path / "a"))
    torch.save({"average": {"present": torch.ones(1, 7, 1, 1, 1)}, "step": 1}, tmp_path / "other.pt")
    with pytest.raises(config.ConfigError, match="not a checkpoint of this network"):
        loop.train(with_eyes(dataset, tmp_path / "other.pt", tmp_path / "b"))


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("augment", {"fill": 1.5}, "fill = 1.5 is out of range"),
        ("optimise", {"steps": 0}, "steps = 0 is out of range"),
        ("optimise", {"learning_rate": "fast"}, r"\[optimise\] learning_rate cannot be 'fast'"),
        ("optimise", {"speed": 1}, r"\[optimise\] has unknown speed"),
        ("grid", {"patch": [96, 96, 60]}, "divisible by 16"),
        ("grid", {"spacing_mm": [2.0, 2.0]}, "spacing_mm cannot be"),
        ("grid", {"spacing_mm": [2.0, 2.0, 0.0]}, "must be above 0"),
        ("grid", {"resolution_mm": [-1.0, 2.0, 2.0]}, "resolution_mm cannot be"),
        ("data", {"labels": {"Spleen": 1}}, "names Spleen; there are Brainstem"),
        ("data", {"labels": {"Eye_L": 1}}, "needs both Eye_L and Eye_R"),
        ("data", {"labels": {"Brainstem": 1, "SpinalCord": 1}}, "same value"),
        ("network", {"name": "unet9"}, "there are densevnet"),
    ],
)
def test_a_setting_that_cannot_be_is_named(dataset, table, values, message):
    settings = dataset.as_dict()
    settings[table] |= values
    with pytest.raises(config.ConfigError, match=message):
        config.from_dict(settings)


def test_settings_of_older_checkpoints_are_still_read(dataset):
    settings = dataset.as_dict()
    del (
        settings["network"],
        settings["optimise"]["start_from"],
        settings["augment"]["fill"],
        settings["augment"]["blank_box"],
    )
    del settings["grid"]["resolution_mm"]
    assert config.from_dict(settings).augment.fill == 0


def test_the_command_line_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    (tmp_path / "my.toml").write_text("[data]\n")
    monkeypatch.setattr("sys.argv", ["hn-training", "train", "--config", str(tmp_path / "my.toml")])
    assert main() == 2
    assert capsys.readouterr().err.startswith("[data] lacks train, validation")
