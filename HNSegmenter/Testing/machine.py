"""What this machine has: the sources, real data, and programs that a test needs."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DATA = Path(os.environ.get("HNSEG_DATA", ROOT.parent / "shared" / "data"))


def require(found: bool, what: str) -> None:
    """Skip without it; on CI, where everything is installed, fail."""
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and must be there on CI")
    pytest.skip(f"{what} is not on this machine")


def require_program(name: str) -> str:
    """Its path: a program's before a script's, for pynetdicom's scripts are called like DCMTK's programs."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = [path for folder in folders if (path := shutil.which(name, path=folder))]
    require(bool(found), f"the program {name}")
    return next((path for path in found if Path(path).read_bytes()[:2] != b"#!"), found[0])


def wait_for(condition, seconds: float = 20.0) -> None:
    """Wait until the condition holds; an AssertionError if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the awaited condition never came true"
        time.sleep(0.05)


_handed_out: set[int] = set()
SIDE_BY_SIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
OWN = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port() -> int:
    """Another one at each call: the system may name a port again that the caller, or a run beside, has yet to use."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _handed_out and port // 2 % SIDE_BY_SIDE == OWN:  # // 2: Linux hands out even ones
            _handed_out.add(port)
            return port
