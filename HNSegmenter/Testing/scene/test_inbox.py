"""The node's patients in the scene: their private folder, and the note on the CT."""

from __future__ import annotations

import json
import platform
import stat
import subprocess
import sys

import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.scene.inbox import CASE
from HNSegmenterLib.settings import jobs_folder
from Testing.scene.help import add_volume, new_scene, slicer


def test_folder_is_this_users_alone_and_goes():
    folder = hn.PrivateFolder()
    assert folder.path.parent == jobs_folder()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "patient").mkdir()
    (folder.path / "patient" / "0001.dcm").write_bytes(b"DICM")
    folder.remove()
    assert list(jobs_folder().iterdir()) == []


def test_folder_of_a_slicer_that_was_killed_is_removed_by_the_next():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, used = hn.PrivateFolder(), hn.PrivateFolder()
    (left.path / "state.json").write_text(json.dumps({"host": platform.node(), "pid": gone.pid}))
    hn.PrivateFolder().remove()
    assert not left.path.exists()
    assert used.path.exists()


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HNSegmenterError, match="HNSEG_JOBS"):
        hn.PrivateFolder(tmp_path / "file")


def test_ct_knows_its_case_also_in_a_saved_scene(tmp_path):
    scene = new_scene()
    volume = add_volume(scene, sitk.Image(4, 4, 4, sitk.sitkInt16))
    assert hn.case_of(volume) is None
    assert hn.case_of(None) is None
    case = hn.Case("11111111-22222222-33333333-44444444-55555555", "job7")
    hn.mark(volume, case)
    assert hn.case_of(volume) == case
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    again = slicer.vtkMRMLScene()
    again.SetURL(str(tmp_path / "scene.mrml"))
    again.Import()
    assert hn.case_of(again.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")) == case
    volume.SetAttribute(CASE, '{"series": 1')
    assert hn.case_of(volume) is None
