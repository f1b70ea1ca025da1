"""Made-up patients for all tests of the training."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hn_training import config  # noqa: E402 - found by the line above


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
