"""What all tests share: where optional real data and required programs are, and no trace on the user's machine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))


def require(found: bool, what: str) -> None:
    """Skip without it; on CI, where everything is installed, fail."""
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and must be there on CI")
    pytest.skip(f"{what} is not on this machine")


def require_program(name: str) -> str:
    path = shutil.which(name)
    require(path is not None, f"the program {name}")
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CTs and contours, which users do not have."""
    folder = Path(os.environ.get("HNSEG_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "openkbp" / "index.json").is_file():
        pytest.skip("real CTs are not on this machine (HNSEG_DATA)")
    return folder


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch) -> Path:
    """Settings and jobs of a test are its own."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HNSEG_SETTINGS", str(folder / "settings.json"))
    monkeypatch.setenv("HNSEG_JOBS", str(folder / "jobs"))
    return folder
