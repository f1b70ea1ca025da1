"""The whole way from a volume in the scene and back, with the real network in a child process, as Slicer goes it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.pipeline import segment
from HNSegmenterLib.runtimes.local import LocalRuntime, missing_packages
from HNSegmenterLib.sample.series import write_dicom
from HNSegmenterLib.settings import jobs_folder
from Testing.machine import require
from Testing.scene.help import add_ct, add_volume, new_scene, voxels


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    require(not missing_packages(), f"the network's packages ({', '.join(missing_packages())})")
    require(importlib.util.find_spec("contourpy") is not None, "the package contourpy")
    return write_dicom(tmp_path_factory.mktemp("sample") / "ct")


def test_mrml_and_the_command_line_draw_the_same_voxels(sample, tmp_path):
    ct = read_planning_ct(sample)
    library = segment(sample, tmp_path / "library", LocalRuntime())
    volume = add_ct(new_scene(), ct)
    events = []
    node = hn.segment(volume, "local", emit=events.append)
    shown = hn.labelmaps(node, ct.image)
    assert set(shown) == set(library.labelmaps)
    for name, path in library.labelmaps.items():
        np.testing.assert_array_equal(voxels(shown[name]), voxels(sitk.ReadImage(str(path))), name)
    kinds = {event.kind for event in events}
    assert {"state", "progress", "result"} <= kinds
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert {event.stage for event in events} >= {"running", "network", "done"}
    saved = hn.export_rtstruct(node, tmp_path / "scene", dicom_folder=sample)
    assert {roi.name for roi in saved.rois} == set(shown)
    assert {roi.algorithm for roi in saved.rois} == {"AUTOMATIC"}
    assert list(jobs_folder().iterdir()) == []


def test_what_the_network_refuses_is_said_in_its_own_words(tmp_path):
    require(not missing_packages(), f"the network's packages ({', '.join(missing_packages())})")
    volume = add_volume(new_scene(), sitk.GetImageFromArray(np.full((40, 64, 64), 100, np.int16)))
    with pytest.raises(UnusableInput, match="Every voxel of the image is 100"):
        hn.segment(volume, "local")
    assert list(jobs_folder().iterdir()) == []


def test_who_listens_and_fails_cancels_the_child(sample):
    """An exception in between (Ctrl-C in a script, say) must leave neither process nor folder."""
    volume = add_ct(new_scene(), read_planning_ct(sample))

    def interrupted(event):
        if event.stage == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hn.segment(volume, "local", emit=interrupted)
    assert list(jobs_folder().iterdir()) == []
