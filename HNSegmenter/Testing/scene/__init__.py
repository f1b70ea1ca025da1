"""Slicer's scene without its window."""

import pytest

pytest.importorskip("slicer", reason="needs the wheel slicer-core, or Slicer's own Python (make test-slicer-core)")
