"""Labelmaps kept as boxes come out as they went in, on the CT's own geometry."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.labelmaps import Labelmaps
from Testing.machine import ROOT
from Testing.painted_head import DIRECTIONS, like, painted_head


@pytest.mark.parametrize("direction", ["LPS", "oblique"])
def test_they_come_out_as_they_went_in(direction):
    ct, labelmaps = painted_head(DIRECTIONS[direction])
    corner = np.zeros(ct.GetSize()[::-1], np.uint8)
    corner[[0, -1], [0, -1], [0, -1]] = 1
    labelmaps["Corners"] = like(ct, corner)
    kept = Labelmaps(ct)
    for name, labelmap in labelmaps.items():
        rounded = sitk.Image(labelmap)
        rounded.SetOrigin([value + 1e-5 for value in labelmap.GetOrigin()])  # as NIfTI keeps it
        kept.keep(name, rounded)
    assert list(kept) == list(labelmaps) and len(kept) == 7 and "Heart" not in kept
    for name, labelmap in labelmaps.items():
        image = kept[name]
        assert np.array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(labelmap)), name
        assert (image.GetOrigin(), image.GetDirection()) == (ct.GetOrigin(), ct.GetDirection())


def test_an_empty_one_is_not_taken():
    ct, _ = painted_head()
    with pytest.raises(ValueError, match="Eye_L is empty"):
        Labelmaps(ct).keep("Eye_L", like(ct, np.zeros(ct.GetSize()[::-1], np.uint8)))


IN_A_PROCESS = """
import resource, SimpleITK as sitk
from HNSegmenterLib.labelmaps import Labelmaps
from Testing.many_organs import labelmaps_on
grid = sitk.Image([512, 512, 60], sitk.sitkInt16)
grid.SetOrigin([-255.5, -255.5, -160.0])
grid.SetSpacing([1.0, 1.0, 4.0])
kept = Labelmaps(grid)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, labelmap in labelmaps_on(grid):
    kept.keep(name, labelmap)
assert len(kept) == 60 and all(kept[name].GetSize() == grid.GetSize() for name in kept)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the largest size of a process is told in other units elsewhere")
def test_sixty_need_the_memory_of_a_few():
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("HNSegmenter", "."))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 10 * 512 * 512 * 60
