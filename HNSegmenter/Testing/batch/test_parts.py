"""Parts of a batch by themselves: what is found, how many fit, what sentences say, what a thumbnail shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("huey")
from huey.registry import Message
from PIL import Image

from HNSegmenterLib.batch.capacity import available_memory
from HNSegmenterLib.batch.find import find, folder_name
from HNSegmenterLib.batch.neutral import link, neutral
from HNSegmenterLib.batch.one import hu_of
from HNSegmenterLib.batch.out_folder import prepare
from HNSegmenterLib.dicom import find_series
from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.overview import draw_thumbnail
from HNSegmenterLib.result import Organ
from HNSegmenterLib.service.table.lease import is_gone, owner_name
from HNSegmenterLib.service.table.queue import JsonSerializer
from Testing.phantoms import head_phantom, write_ct_series


def test_series_are_found_whatever_folders_their_slices_lie_in(tmp_path):
    files = write_ct_series(tmp_path / "10" / "a", head_phantom())
    (tmp_path / "10" / "b").mkdir()
    for file in files[20:]:
        file.rename(tmp_path / "10" / "b" / file.name)
    write_ct_series(tmp_path / "2", head_phantom())
    flat = write_ct_series(tmp_path / "2", head_phantom(), prefix="OTHER")
    (tmp_path / "2" / "OTHER0041.dcm").write_bytes(b"cut")
    found = find(tmp_path)
    assert [(one.place, len(one.files)) for one in found.candidates] == [("2", 40), ("2", 40), ("10", 40)]
    assert {one.series_uid for one in found.candidates} == {one.uid for one in find_series(tmp_path).series}
    assert all(one.beside == (str(tmp_path / "2" / "OTHER0041.dcm"),) for one in found.candidates[:2])
    assert found.files == 121 and found.candidates[0].voxels == 40 * 64 * 64
    assert len({one.folder for one in found.candidates}) == 3
    assert str(flat[0]) in found.candidates[0].files + found.candidates[1].files


def test_folders_are_called_the_same_everywhere_and_after_nobody():
    assert folder_name("1.2.840.1") == "f9a13599155b" != folder_name("1.2.840.2")


def test_sentences_name_images_by_their_uids(tmp_path):
    source = tmp_path / "Mueller 1931.dcm"
    source.write_text("pixels")
    folder = tmp_path / "links"
    (one,) = link([str(source)], folder)
    assert one.read_text() == "pixels" and folder.stat().st_mode & 0o777 == 0o700
    sentence = f'CT series 1.2.3 in {folder}: {one.name} of 1.2.3 "Mueller, secret" is odd, as is {folder}/000002.dcm.'
    assert neutral(sentence, folder, {one.name: "1.2.3.4"}) == (
        "CT series 1.2.3: image 1.2.3.4 of 1.2.3 is odd, as is an image."
    )


@pytest.mark.parametrize(
    ("limit", "left"),
    [({}, 8192), ({"memory.max": "max"}, 8192), ({"memory.max": str(3 << 20), "memory.current": str(2 << 20)}, 1536)],
)
def test_memory_is_what_the_system_and_the_container_leave(tmp_path, limit, left):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8192 kB\n")
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    for name, text in limit.items():
        (group / name).write_text(text + "\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {512 << 10}\n")
    assert available_memory(tmp_path) == left << 10


def test_hu_are_those_of_all_voxels_within(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    mask = (values >= 7) & (values < 31)
    hu = hu_of(sitk.GetImageFromArray(values), sitk.GetImageFromArray(mask.astype(np.uint8)))
    assert hu == {"mean": 18.5, "sd": round(float(np.arange(7, 31).std()), 2)}


def test_a_thumbnail_shows_the_organ_where_it_is(tmp_path):
    ct = sitk.GetImageFromArray(head_phantom())
    ct.SetSpacing((4.0, 4.0, 4.0))
    marker = sitk.Cast(ct > 700, sitk.sitkUInt8)
    draw_thumbnail(ct, {"Marker": marker}, [Organ("Marker", 1, (255, 0, 0))], tmp_path / "thumbnail.png")
    pixels = np.asarray(Image.open(tmp_path / "thumbnail.png")).astype(int)
    assert pixels.shape == (150, 300, 3)
    red = np.argwhere((pixels[..., 0] > 150) & (pixels[..., 1] < 100))
    coronal, sagittal = red[red[:, 1] < 150], red[red[:, 1] >= 150]
    assert len(coronal) > 20 and len(sagittal) > 20
    assert np.allclose(coronal.mean(axis=0), (75, 75), atol=3), "it is drawn around its own middle"
    assert np.allclose(np.ptp(coronal, axis=0), 30 / 250 * 150, atol=6)


def test_the_queue_carries_keys_and_no_code():
    message = Message("id", "contour", None, 0, 0, None, ("key",), {}, None, None)
    data = JsonSerializer().serialize(message)
    assert json.loads(data)[6] == ["key"]
    assert list(JsonSerializer().deserialize(data))[:2] == ["id", "contour"]
    with pytest.raises(ValueError, match=r"codec|Expecting"):
        JsonSerializer().deserialize(b"\x80\x04cos\nsystem\n.")


def test_an_owner_is_gone_when_its_process_here_is():
    host, _, _ = owner_name().split(":")
    assert not is_gone(owner_name())
    assert is_gone(f"{host}:4194303:abcdef01")
    assert not is_gone("elsewhere:4194303:abcdef01") and not is_gone("")


def test_out_gets_one_name_which_damage_does_not_change(tmp_path):
    name = prepare(tmp_path / "out", tmp_path)
    assert prepare(tmp_path / "out", tmp_path) == name and len(name) == 32
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".batch"]
    (tmp_path / "out" / ".batch").write_text("")
    with pytest.raises(WrongUsage, match="damaged"):
        prepare(tmp_path / "out", tmp_path)
