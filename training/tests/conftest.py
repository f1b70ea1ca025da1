"""Made-up patients for all tests of the training."""

import dataclasses
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from adapting import save, write_patient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# found by the line above
from hn_training import config  # noqa: E402
from hn_training.adapt import settings as adapt_settings  # noqa: E402
from hn_training.data import patients  # noqa: E402
from hn_training.fitting import loop  # noqa: E402
from hn_training.packing import export  # noqa: E402


@pytest.fixture
def dataset(tmp_path) -> config.Config:
    """Two made-up patients with a ball for a brainstem; the second's is unsound on one slice."""
    z, y, x = np.ogrid[:24, :32, :32]
    ball = (z - 12) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 36
    for number in (1, 2):
        folder = tmp_path / "train" / f"pt_{number}"
        folder.mkdir(parents=True)
        hu = np.where((y - 16) ** 2 + (x - 16) ** 2 + 0 * z < 200, 40, -1000) + 60 * ball
        affine = np.diag([-4.0, -4.0, 3.0, 1.0])
        for name, volume in (("data", hu.astype(np.int16)), ("label", ball.astype(np.uint8))):
            nib.save(nib.Nifti1Image(volume.T, affine), folder / f"{name}.nii.gz")
    index = {
        f"train/pt_{n}": {"context": {"Brainstem": 1.0}, "slices_without_context": {"Brainstem": [11] * (n - 1)}}
        for n in (1, 2)
    }
    (tmp_path / "index.json").write_text(json.dumps(index))
    settings = config.load(ROOT / "config.toml").as_dict()
    settings["data"] |= {
        "train": str(tmp_path / "train"),
        "validation": str(tmp_path / "train"),
        "index": str(tmp_path / "index.json"),
        "cache": str(tmp_path / "cache"),
        "labels": {"Brainstem": 1},
    }
    settings["grid"]["patch"] = (32, 32, 32)
    settings["optimise"] |= {
        "steps": 4,
        "batch": 1,
        "warmup_steps": 1,
        "minutes": 0,
        "threads": 1,
        "validate_patients": 1,
    }
    return config.from_dict(settings)


@pytest.fixture
def model(dataset, tmp_path):
    """A DenseVNet that learnt nothing yet, as a model folder."""
    dataset = dataclasses.replace(
        dataset,
        network=config.Network("densevnet"),
        data=dataclasses.replace(dataset.data, labels={"Brainstem": 1, "SpinalCord": 2}),
    )
    export.export(loop.train(dataset), tmp_path / "model", "made-up patients")
    return tmp_path / "model"


@pytest.fixture
def chosen(dataset, tmp_path):
    """Four patients with better contours of the brainstem; the first is one of the two old ones."""
    other = tmp_path / "train" / "pt_2" / "data.nii.gz"
    save(patients.read_lps(other)[0] + 1, other)
    for number in range(1, 5):
        write_patient(tmp_path / "better" / f"case_{number}", number)
    (tmp_path / "better" / "case_1" / "data.nii.gz").write_bytes(
        (tmp_path / "train" / "pt_1" / "data.nii.gz").read_bytes()
    )
    optimise = dataclasses.asdict(dataset.optimise) | {"steps": 3, "learning_rate": 1e-3, "checkpoint_s": 1e-3}
    return adapt_settings.from_dict(
        {
            "patients": {"folder": str(tmp_path / "better"), "labels": {"Brainstem": 3}},
            "old": {
                "folder": str(tmp_path / "train"),
                "index": str(tmp_path / "index.json"),
                "labels": {"Brainstem": 1, "SpinalCord": 2},
                "unknown": ["SpinalCord"],
                "unknown_ends_mm": {"Brainstem": 4.0},
            },
            "augment": dataclasses.asdict(dataset.augment),
            "optimise": optimise,
            "stop": {"look_every": 1},
        }
    )
