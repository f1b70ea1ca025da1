"""The way without a node: Slicer's own DICOM listener in a real Slicer."""

from __future__ import annotations

from pathlib import Path

from Testing.machine import free_port, require_program
from Testing.slicer_module.test_application import HERE, PASSED, slicer, start


def test_slicers_own_listener_feeds_the_module(start):
    scanner, listener = require_program("storescu"), require_program("storescp")
    variables = {"HNSEG_TEST_SCANNER": scanner, "HNSEG_TEST_DCMTK": str(Path(listener).parent)}
    said = start(HERE / "node" / "listener.py", HNSEG_TEST_PORT=str(free_port()), **variables)
    assert PASSED in said, said[-6000:]
