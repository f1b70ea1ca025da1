"""The network's definition, its export, and that a loss learns nothing from what nobody drew."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hn_training import config, grid
from hn_training.data import cache, patients
from hn_training.data.augment import MirrorSides
from hn_training.fitting import loop
from hn_training.fitting.loss import segmentation_loss
from hn_training.networks.by_name import NETWORKS
from hn_training.networks.densevnet import DenseVNet, trainable_parameters
from hn_training.packing import export
from hn_training.scoring import score, tune

MODEL = Path(__file__).resolve().parents[2] / "docker" / "hn_network" / "model"
BRAINSTEM, PAROTID_L, PAROTID_R, EYE_L = 1, 3, 4, 5


def test_it_is_niftynets_dense_vnet():
    assert trainable_parameters(DenseVNet()) == 875_218


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(16, 32, 48), (48, 16, 16)])
def test_probabilities_on_every_voxel_and_none_for_absent_classes(name, shape):
    torch.manual_seed(0)
    network = NETWORKS[name](absent=(5, 6)).eval()
    with torch.inference_mode():
        chances = export.WithSoftmax(network)(torch.randn(1, 1, *shape))
    assert chances.shape == (1, 7, *shape)
    assert torch.allclose(chances.sum(1), torch.ones(1, *shape), atol=1e-5)
    assert (chances[:, 5:] == 0).all() and (chances[:, :5] > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_exported_graph_equals_pytorch(name, tmp_path):
    torch.manual_seed(1)
    network = NETWORKS[name](absent=(5, 6)).eval()
    export.to_onnx(network, tmp_path / "network.onnx")  # raises beyond 1e-4
    assert export.largest_difference(export.WithSoftmax(network), tmp_path / "network.onnx") <= 1e-4
    other = NETWORKS[name](absent=(5, 6)).eval()
    assert export.largest_difference(export.WithSoftmax(other), tmp_path / "network.onnx") > 1e-4


def test_a_threshold_becomes_one_half_in_the_exported_network():
    torch.manual_seed(2)
    network = DenseVNet(absent=(5, 6)).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.inference_mode():
        before = export.WithSoftmax(network)(image)[:, PAROTID_L]
        export.apply_thresholds(network, {"Parotid_L": 0.2})
        after = export.WithSoftmax(network)(image)[:, PAROTID_L]
    clear = (before - 0.2).abs() > 1e-4
    assert torch.equal((before > 0.2)[clear], (after > 0.5)[clear]) and 0 < (after > 0.5).float().mean() < 1


def test_averaging_over_the_mirrored_patient_swaps_sides_back(dataset):
    """A network that sees the left parotid on one half: its mean with the mirrored patient is symmetric."""

    class LeftHalf(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image):
            logits = torch.zeros(1, 7, *image.shape[2:])
            logits[:, PAROTID_L, ..., image.shape[-1] // 2 :] = 20
            return logits

    patient = patients.read(patients.folders(dataset.data.train)[0], dataset.data)
    once = score.probabilities(LeftHalf(), patient, dataset)
    both = score.probabilities(LeftHalf(), patient, dataset, flip=True)
    middle = patient.image.shape[-1] // 2
    left, right = (slice(middle + 2, middle + 8), slice(middle - 8, middle - 2))
    body = (12, 16)
    assert (once[PAROTID_L][body][left] > 0.99).all() and (once[PAROTID_R][body] < 0.2).all()
    assert (both[PAROTID_L][body][left] > 0.5).all() and (both[PAROTID_R][body][right] > 0.5).all()
    assert (both[PAROTID_R][body][left] < 0.2).all()


def test_tuning_finds_the_threshold_that_fits(dataset):
    def predict(patient):
        right = patient.labels == BRAINSTEM
        wide = np.roll(right, 2, axis=2) | right
        chances = 0.72 * right + 0.52 * (wide & ~right)  # drawn too wide below 0.52
        same_grid = grid.Mapping(right.shape, right.shape, (1, 1, 1), (0, 0, 0))
        return score.Prediction(np.stack([1 - chances, chances]), same_grid)

    assert 0.52 < tune.thresholds(predict, dataset, 2)["Brainstem"] <= 0.7


def test_a_threshold_lies_where_an_exported_model_has_it():
    """Between voxels of p = 0.99 and 0.01: with a threshold of 0.9 the edge is not where the interpolated p is 0.9."""
    coarse = np.array([0.99, 0.01], np.float32).reshape(1, 1, 2)
    finer = grid.Mapping((1, 1, 21), coarse.shape, (1, 1, 0.05), (0, 0, 0))
    prediction = score.Prediction(np.stack([1 - coarse, coarse]), finer)

    def voxels(threshold: float) -> int:
        return int((prediction.at(threshold)[1] > score.EVEN).sum())

    shifted = 0.99 / 9 / (0.99 / 9 + 0.01)
    edge = [shifted * (1 - n / 20) + 0.0011 * n / 20 > 0.5 for n in range(21)]
    assert voxels(0.5) == 10 and voxels(0.9) == sum(edge)
    assert prediction.at(0.9)[1][0, 0, 0] == pytest.approx(shifted)
    assert (prediction.at(0.5)[1] > 0.9).sum() == 2 and voxels(0.995) == 0


def test_the_shipped_model_is_this_network_and_lists_its_organs():
    about = json.loads((MODEL / "model.json").read_text())
    assert about["contract"] == 1 and about["trained"]["steps"] > 0
    organs = json.loads((MODEL / "organs.json").read_text())["organs"]
    assert [organ["name"] for organ in organs] == list(config.ORGANS)
    session = onnxruntime.InferenceSession(MODEL / "network.onnx", providers=["CPUExecutionProvider"])
    (chances,) = session.run(None, {"image": np.zeros((1, 1, 16, 32, 16), np.float32)})
    assert chances.shape == (1, 7, 16, 32, 16)
    for organ in organs:
        if not organ["in_model"]:
            assert organ["channel"] is None and (chances[0, organ["label"]] == 0).all()


def test_an_undrawn_organ_costs_nothing_and_a_drawn_one_does():
    logits = torch.full((1, 7, 4, 4, 4), -20.0)
    logits[:, EYE_L] = 20.0  # says "left eye" everywhere
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    unknown = torch.full_like(labels, 1 << (EYE_L - 1))
    assert segmentation_loss(logits, labels, unknown)[1] < 1e-4
    assert segmentation_loss(logits, labels, torch.zeros_like(unknown))[1] > 10


def test_dice_ignores_what_is_unknown():
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    labels[:, :2] = BRAINSTEM
    logits = torch.full((1, 7, 4, 4, 4), -20.0)
    logits[:, BRAINSTEM] = 20.0
    unknown = torch.zeros_like(labels)
    _, _, everywhere = segmentation_loss(logits, labels, unknown)
    unknown[:, 2:] = 1 << (BRAINSTEM - 1)
    _, _, where_known = segmentation_loss(logits, labels, unknown)
    assert everywhere.item() == pytest.approx(2 / 3, abs=1e-3) and where_known.item() == pytest.approx(1, abs=1e-3)


def test_mirroring_swaps_sides_and_their_unknown_bits():
    labels = torch.zeros(1, 2, 2, 4, dtype=torch.uint8)
    labels[..., 3] = PAROTID_L
    labels[..., 1] = BRAINSTEM
    unknown = torch.full_like(labels, 1 << (PAROTID_R - 1))
    image = torch.arange(16.0).view(1, 2, 2, 4)
    flipped = MirrorSides(1.0).change({"image": image, "labels": labels, "unknown": unknown})
    assert (flipped["labels"][..., 0] == PAROTID_R).all() and (flipped["labels"][..., 2] == BRAINSTEM).all()
    assert (flipped["unknown"] == 1 << (PAROTID_L - 1)).all()
    assert torch.equal(flipped["image"], image.flip(-1))


def test_a_fine_ct_is_taught_as_it_will_be_segmented(monkeypatch):
    """Voxels of 1 mm, brought to the 4 mm of the other CTs: what the container's own program makes of them."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "docker")
    from hn_network.grid import AlignedGrid

    image = np.random.default_rng(0).integers(-900, 900, (32, 40, 48)).astype(np.int16)
    spacing, target, resolution = (1.0, 1.0, 2.5), (2.0, 2.0, 2.5), (4.0, 4.0, 2.5)
    mapping = grid.body_mapping(image, spacing, target)
    taught = grid.image_to_network(image, mapping, spacing, resolution)
    segmented = AlignedGrid(image, np.array(spacing), target, 1, resolution)
    seen = segmented.sample(tuple(slice(0, n) for n in segmented.shape))
    assert taught.shape == seen.shape and taught.std() < 0.2 * image.std()
    assert (taught - seen)[:, 3:-3, 3:-3].std() < 0.15 * taught.std()


def test_unsound_slices_and_undrawn_organs_are_unknown(dataset):
    sound, unsound = cache.build(dataset, "train")
    for folder, gap in ((sound, False), (unsound, True)):
        labels, unknown, _ = np.load(folder / "target.npy")
        assert (labels == BRAINSTEM).any() and ((unknown >> (EYE_L - 1)) & 1).all()
        assert bool(((unknown >> (BRAINSTEM - 1)) & 1).any()) is gap
        assert not ((labels == BRAINSTEM) & (unknown & 1).astype(bool)).any()


def test_a_patient_counts_by_its_share_of_sound_slices(dataset):
    folder = patients.folders(dataset.data.train)[1]
    patient = patients.read(folder, dataset.data)
    assert patient.counts(BRAINSTEM) and not patient.counts(EYE_L)
    assert not patient.sound_slices(BRAINSTEM)[11] and patient.sound_slices(BRAINSTEM).sum() == 23


def test_training_runs_resumes_and_exports(dataset, tmp_path):
    checkpoint = loop.train(dataset)
    run = loop.start(dataset)
    run.restore(checkpoint)
    assert run.step == 4 and all(math.isfinite(p.sum().item()) for p in run.network.parameters())
    log = Path(dataset.data.cache) / loop.SCORES
    log.write_text(log.read_text() + "5,0.1\n")  # a step after the checkpoint
    longer = dataset.as_dict()
    longer["optimise"]["steps"] = 6
    loop.train(config.from_dict(longer))
    run.restore(checkpoint)
    assert run.step == 6
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == ["step", "1", "4", "6"]
    export.export(checkpoint, tmp_path / "model", "two balls", {"Brainstem": 0.6})
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "SHA256SUMS",
        "model.json",
        "network.onnx",
        "organs.json",
    ]
    organs = json.loads((tmp_path / "model" / "organs.json").read_text())["organs"]
    assert [organ["in_model"] for organ in organs] == [True] + [False] * 5
    trained = json.loads((tmp_path / "model" / "model.json").read_text())["trained"]
    assert (trained["data"], trained["steps"]) == ("two balls", 6)
