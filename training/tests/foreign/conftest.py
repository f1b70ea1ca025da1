"""nnU-Nets for all tests of the import."""

import shutil
from pathlib import Path

import pytest
from tiny import DATASET, PLAIN_PLANS, train


@pytest.fixture(scope="session", autouse=True)
def paths(tmp_path_factory):
    """nnU-Net reads its folders from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("raw", "preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", str(tmp_path_factory.mktemp(name)))
        patch.setenv("nnUNet_compile", "f")
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A PlainConvUNet of two folds: (result folder, networks)."""
    return train(tmp_path_factory.mktemp("plain"), PLAIN_PLANS, DATASET, folds=(0, 1))


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    """A copy of its result folder, to be damaged."""
    copy = tmp_path / trained[0].name
    shutil.copytree(trained[0], copy)
    return copy
