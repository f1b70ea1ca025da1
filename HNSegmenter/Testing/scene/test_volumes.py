"""A CT from the scene to the network: the same voxels in the same places, or a sentence."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.errors import HNSegmenterError, UnusableInput
from HNSegmenterLib.job import Job
from HNSegmenterLib.pipeline import _hand_over
from HNSegmenterLib.scene import (
    HandOver,
    check_volume,
    child_arguments,
    image_of,
    left_behind,
    parse_line,
    rtstruct_impossible,
)
from HNSegmenterLib.scene.grid import Grid
from Testing.rtstruct.help import make_ct
from Testing.scene.help import add_ct, add_volume, new_scene, vtk

SHAPE, SPACING = (24, 64, 48), (2.5, 3.5, 3.0)
ORIGIN = (-118.71, -130.123456, -40.777)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct"), SHAPE, SPACING, origin=ORIGIN)


@pytest.fixture
def scene():
    return new_scene()


def turned(size=(30, 24, 20), flip=False) -> sitk.Image:
    """A lopsided oblique image; flip: its third axis points the other way (left-handed)."""
    image = sitk.GetImageFromArray(np.arange(np.prod(size), dtype=np.int16).reshape(size[::-1]))
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((-20.25, 31.5, 7.125))
    a, b = np.radians(20), np.radians(-10)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    image.SetDirection((about_z @ about_x @ np.diag([1, 1, -1 if flip else 1])).ravel().tolist())
    return image


def corners(image: sitk.Image) -> np.ndarray:
    last = [size - 1 for size in image.GetSize()]
    return np.array(
        [
            image.TransformIndexToPhysicalPoint([n * bit for n, bit in zip(last, bits, strict=True)])
            for bits in np.ndindex(2, 2, 2)
        ]
    )


def test_the_network_gets_the_file_that_the_command_line_gives_it(ct, scene, tmp_path):
    """Segments from MRML and from the library's path can only be identical if the network sees the same file."""
    job = HandOver.create(add_ct(scene, ct), tmp_path)
    with Job(root=tmp_path / "jobs") as library:
        expected = _hand_over(tmp_path, ct, library).image.read_bytes()
    assert (job.folder / "img.nii").read_bytes() == expected


@pytest.mark.parametrize("flip", [False, True])
def test_oblique_and_left_handed_grids_are_kept(scene, flip):
    image = turned(flip=flip)
    again = image_of(add_volume(scene, image))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(corners(again), corners(image), atol=1e-9)


def test_other_number_types_are_rounded(scene):
    image = turned()
    values = sitk.GetArrayFromImage(image).astype(np.float64) - 1000.4
    values[0, 0, :2] = -1e6, 1e6
    floats = sitk.GetImageFromArray(values)
    floats.CopyInformation(image)
    again = sitk.GetArrayFromImage(image_of(add_volume(scene, floats)))
    assert again.dtype == np.int16
    assert list(again[0, 0, :2]) == [-32768, 32767]
    np.testing.assert_array_equal(again.ravel()[2:], np.rint(values).ravel()[2:].astype(np.int16))


def test_values_that_are_no_numbers_are_refused(scene):
    values = np.zeros((4, 8, 8), np.float32)
    values[2, 1, 1] = np.nan
    with pytest.raises(UnusableInput, match="Slice 3 of Planning CT holds values that are no numbers"):
        image_of(add_volume(scene, sitk.GetImageFromArray(values)))


def test_what_is_no_ct_volume_is_refused(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(UnusableInput, match="Nothing holds no image"):
        check_volume(empty)
    with pytest.raises(UnusableInput, match="single slice"):
        check_volume(add_volume(scene, sitk.GetImageFromArray(np.zeros((1, 8, 8), np.int16))))
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    with pytest.raises(UnusableInput, match="is a labelmap, no CT"):
        check_volume(labels)
    colours = add_volume(scene, turned())
    data = vtk.vtkImageData()
    data.SetDimensions(4, 4, 4)
    data.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colours.SetAndObserveImageData(data)
    with pytest.raises(UnusableInput, match="3 values a voxel"):
        check_volume(colours)


def test_slanted_axes_are_refused(scene):
    node = add_volume(scene, turned())
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 2, matrix.GetElement(0, 2) + 1.0)
    node.SetIJKToRASMatrix(matrix)
    with pytest.raises(UnusableInput, match="not perpendicular"):
        check_volume(node)


def test_a_transform_does_not_count_and_is_said(scene):
    image = turned()
    node = add_volume(scene, image)
    assert check_volume(node) == []
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 50.0)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    (sentence,) = check_volume(node)
    assert "under the transform Registration" in sentence
    np.testing.assert_allclose(corners(image_of(node)), corners(image), atol=1e-9)


def test_the_folder_is_the_users_own_and_says_nothing_of_the_patient(ct, scene, tmp_path):
    node = add_ct(scene, ct, name="TEST^Phantom")
    job = HandOver.create(node, tmp_path)
    assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in job.folder.iterdir()) == ["handover.json", "img.nii"]
    text = (job.folder / "handover.json").read_text()
    assert "TEST" not in text + job.folder.name
    assert "Phantom" not in text + job.folder.name
    assert not job.done
    job.remove()
    assert not job.folder.exists()


def test_a_full_disk_leaves_nothing(ct, scene, tmp_path, monkeypatch):
    """Half of the file, as SimpleITK leaves it without an error."""
    from HNSegmenterLib.scene import handover

    def short(image, path, **_):
        with Path(path).open("wb") as file:
            file.write(b"\0" * 1000)

    monkeypatch.setattr(handover.sitk, "WriteImage", short)
    with pytest.raises(HNSegmenterError, match="free disk space"):
        HandOver.create(add_ct(scene, ct), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_volume_is_found_again_in_another_scene(ct, scene, tmp_path):
    plain = turned()
    for image, uids in ((ct.image, [s.sop_instance_uid for s in ct.slices]), (plain, [])):
        job = HandOver.create(add_volume(scene, image, uids), tmp_path)
        other = new_scene()
        assert job.volume(other) is None
        add_volume(other, turned((10, 10, 10)))
        again = add_volume(other, image, uids, name="another name")
        assert job.volume(other) is again


def test_jobs_of_a_slicer_that_is_gone_are_offered_or_removed(ct, scene, tmp_path):
    gone = 2**22 + 1  # beyond Linux's largest process id
    done, dead, mine = (HandOver.create(add_ct(scene, ct), tmp_path) for _ in range(3))
    for job in (done, dead):
        job._note(parent=gone, pid=gone)
    done.results.mkdir()
    (done.results / "result.json").write_text("{}")
    running = HandOver.create(add_ct(scene, ct), tmp_path)
    running.started(os.getpid())
    running._note(parent=gone)
    assert [job.folder for job in left_behind(tmp_path)] == [done.folder, running.folder]
    assert not dead.folder.exists()
    assert mine.folder.exists()
    assert (done.done, done.running, running.done, running.running) == (True, False, False, True)


def test_the_childs_command_line_is_one_that_it_knows(ct, scene, tmp_path):
    from HNSegmenterLib.cli.main import build_parser

    job = HandOver.create(add_ct(scene, ct), tmp_path)
    words = job.arguments("docker", "hn-segmenter:1", "unix:///run/docker.sock")
    args = build_parser().parse_args(words[3:])
    assert (args.runtime, args.image, args.docker_host, args.json) == (
        "docker",
        "hn-segmenter:1",
        "unix:///run/docker.sock",
        True,
    )
    assert (args.input, args.output) == (job.folder / "img.nii", job.results)
    assert build_parser().parse_args(job.arguments()[3:]).runtime is None


def test_the_child_finds_the_library_by_itself(tmp_path):
    """As a launcher of Slicer starts it that sets PYTHONPATH anew; -S leaves out what installed our library here."""
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    command = [sys.executable, "-S", *child_arguments("--version")]
    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": packages}, capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("hn-segmenter "), run.stderr


def test_only_lines_of_events_are_events():
    assert parse_line('{"event": "progress", "fraction": 0.5}')["fraction"] == 0.5
    assert [parse_line(text) for text in ("", "Traceback", "3", "{}", '{"event": 1}', "[1]")] == [None] * 6


def test_a_volume_without_dicom_says_why_there_is_no_rtstruct(ct, scene):
    assert rtstruct_impossible(add_ct(scene, ct)) is None
    assert "was not loaded from DICOM" in rtstruct_impossible(add_volume(scene, turned()))
    assert "not in the scene" in rtstruct_impossible(None)


def test_lattices(scene):
    grid = Grid.of_image(turned())
    shifted = grid.ijk_to_ras.copy()
    shifted[:3, 3] += grid.ijk_to_ras[:3, :3] @ (2, -3, 4)
    assert list(grid.shift_of(shifted)) == [2, -3, 4]
    shifted[:3, 3] += grid.ijk_to_ras[:3, 0] * 0.4
    assert grid.shift_of(shifted) is None
    assert grid.shift_of(grid.ijk_to_ras @ np.diag([1.01, 1, 1, 1])) is None


def test_record_is_json(ct, scene, tmp_path):
    job = HandOver.create(add_ct(scene, ct), tmp_path)
    assert set(json.loads((job.folder / "handover.json").read_text())) == {
        "identity",
        "instances",
        "host",
        "parent",
        "pid",
        "since",
    }


WITHOUT = """
import sys
for name in ("contourpy", "platformdirs", "docker", "rich", "PIL", "nibabel", "openvino", "cc3d"):
    sys.modules[name] = None  # importing it fails
from HNSegmenterLib import scene
assert all(getattr(scene, name) is not None for name in scene.__all__)
"""


def test_the_room_opens_with_what_slicer_brings():
    """Further packages are offered when they are first needed: no import may ask for them before."""
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)
