"""The thesis's image: names that can be told, and an imitation of it on a real engine (the original cannot be had)."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.errors import RuntimeFault
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.result import Result
from HNSegmenterLib.runtimes import images, thesis_image
from HNSegmenterLib.runtimes.docker_runtime import DockerRuntime
from HNSegmenterLib.runtimes.images import ImageInfo
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.support import BASE, REPOSITORY, THESIS_LIKE, Recorder, build, make_job, small_ct

INFO = ImageInfo("inesmunoz/hn-segmenter:latest", "sha256:" + "0" * 64, "thesis", "/home/Ines/data", "/x")


@pytest.mark.parametrize(
    ("stem", "organ"),
    [
        ("Eye_L", "Eye_L"),
        ("eye_left", "Eye_L"),
        ("RightEye", "Eye_R"),
        ("left eye", "Eye_L"),
        ("ojo_izquierdo", "Eye_L"),
        ("ojoderecho", "Eye_R"),
        ("OjoIzq", "Eye_L"),
        ("brainstem", "Brainstem"),
        ("Brain_Stem", "Brainstem"),
        ("img_tronco", "Brainstem"),
        ("TroncoEncefálico", "Brainstem"),
        ("SpinalCord", "SpinalCord"),
        ("spinal_cord_seg", "SpinalCord"),
        ("médula", "SpinalCord"),
        ("parotid_R", "Parotid_R"),
        ("Parótida izq.", "Parotid_L"),
        ("parotid-lt", "Parotid_L"),
        ("label1_Parotid_right", "Parotid_R"),
        ("eye", None),
        ("eyes", None),
        ("left", None),
        ("Eye_L_R", None),
        ("parotid_eye_L", None),
        ("mandible", None),
        ("segmentation_0", None),
        ("cordless_eye_drops", None),
    ],
)
def test_which_organ_a_name_means(stem, organ):
    assert thesis_image.tell_organ(stem) == organ


@pytest.fixture
def folder(tmp_path):
    sitk.WriteImage(small_ct(), str(tmp_path / "img.nii.gz"))
    (tmp_path / "results.part").mkdir()
    return tmp_path / "results.part"


def write(folder, name, change=lambda image: image, value=1):
    labelmap = sitk.Cast(small_ct() > 0, sitk.sitkInt16) * value
    sitk.WriteImage(change(labelmap), str(folder / name))


def complete(folder) -> Result:
    thesis_image.complete(folder, folder.parent / "img.nii.gz", INFO, 4.0)
    return Result.read(folder / "result.json")


def test_labelmaps_become_binary_and_get_our_names(folder):
    write(folder, "ojo_izq.nii.gz", value=255)
    write(folder, "empty_tronco.nii", lambda image: image * 0)
    result = complete(folder)
    assert [(organ.name, organ.label, organ.status) for organ in result.organs] == [
        ("Brainstem", 1, "not found"),
        ("Eye_L", 5, "found"),
    ]
    labelmap = sitk.ReadImage(str(folder / "Eye_L.nii.gz"))
    assert labelmap.GetPixelID() == sitk.sitkUInt8 and set(np.unique(sitk.GetArrayViewFromImage(labelmap))) == {0, 1}
    assert result.organs[1].volume_ml == pytest.approx(12 * 20 * 20 * 1.5 * 1.25 * 3 / 1000)
    assert sorted(path.name for path in folder.iterdir()) == ["Brainstem.nii.gz", "Eye_L.nii.gz", "result.json"]


def test_what_cannot_be_told_keeps_its_name(folder):
    write(folder, "mandible.nii.gz")
    write(folder, "eye_l.nii.gz")
    write(folder, "left_eye.nii.gz")
    result = complete(folder)
    assert [(organ.name, organ.label, organ.code) for organ in result.organs] == [
        ("eye_l", 7, None),
        ("left_eye", 8, None),
        ("mandible", 9, None),
    ]
    told = [warning for warning in result.warnings if "cannot be told which organ" in warning]
    assert len(told) == 3 and any("mandible.nii.gz" in warning for warning in told)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image[:-1, :, :],
        lambda image: sitk.Resample(image, [20, 18, 10]),
        lambda image: shifted(image),  # noqa: PLW0108 - it stands below
    ],
)
def test_what_does_not_lie_on_the_ct_is_left_out(folder, change):
    write(folder, "Eye_L.nii.gz")
    write(folder, "Eye_R.nii.gz", change)
    result = complete(folder)
    assert [organ.name for organ in result.organs] == ["Eye_L"]
    assert any("Eye_R.nii.gz does not lie on the CT's grid" in warning for warning in result.warnings)
    assert not (folder / "Eye_R.nii.gz").exists()


def shifted(image):
    image.SetOrigin((0, 0, 0))
    return image


def test_files_that_are_no_images(folder):
    write(folder, "Eye_L.nii.gz")
    (folder / "log.txt").write_text("x")
    (folder / "Eye_R.nii.gz").write_text("x")
    warnings = complete(folder).warnings
    assert any("log.txt is no labelmap" in warning for warning in warnings)
    assert any("Eye_R.nii.gz cannot be read" in warning for warning in warnings)


def test_nothing_usable(folder):
    (folder / "log.txt").write_text("x")
    with pytest.raises(RuntimeFault, match="left no labelmap"):
        complete(folder)


@pytest.mark.docker
def test_imitation_on_a_real_engine(engine, nothing_left, tmp_path):
    """Root user, writable root, fixed folders of which `data` is not there, Spanish and English names, no event."""
    tag = build(engine.client, f"{REPOSITORY}:thesis", THESIS_LIKE.format(base=BASE))
    job, recorder = make_job(tmp_path), Recorder()
    DockerRuntime(engine, images.inspect(engine, tag, "thesis")).run(job, recorder, CancelToken())
    result = Result.read(job.results / "result.json")
    names = [organ.name for organ in result.organs]
    assert names == ["Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R", "mystery"]
    assert all((job.results / organ.file).is_file() and organ.voxels == 4800 for organ in result.organs)
    assert any("mystery" in warning for warning in result.warnings)
    assert result.model["name"] == tag
    assert recorder.stages == ["upload", "network", "download"]
