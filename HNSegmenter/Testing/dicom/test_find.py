"""The planning CT is found among whatever else lies in the folder, and nothing of the patient is logged."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, generate_uid

from HNSegmenterLib.dicom import find_series, read_planning_ct
from HNSegmenterLib.errors import Cancelled, UnusableInput
from HNSegmenterLib.events import CancelToken
from Testing.machine import require_program
from Testing.phantoms import compress, edit, head_phantom, save, write_ct_series

SPACING = (5.0, 5.0, 4.0)
HEAD = head_phantom((24, 32, 32), SPACING)
MR = "1.2.840.10008.5.1.4.1.1.4"


def uid_of(files: list[Path]) -> str:
    return pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID


def rtstruct(path: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid(None)
    dataset.SeriesInstanceUID, dataset.Modality, dataset.PatientName = generate_uid(None), "RTSTRUCT", "TEST^Phantom"
    save(dataset, path)


@pytest.fixture
def patient_folder(tmp_path) -> tuple[Path, str]:
    """As burnt on a disc: planning CT, scouts, reformats, MR, RTSTRUCT, junk."""
    folder = tmp_path / "disc"
    planning = write_ct_series(folder / "DICOM" / "A", HEAD, SPACING)
    write_ct_series(
        folder / "DICOM" / "scout", HEAD[:2], SPACING, tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    )
    write_ct_series(folder / "DICOM" / "cor", HEAD, SPACING, orientation=(1, 0, 0, 0, 0, -1))
    write_ct_series(folder / "DICOM" / "few", HEAD[:5], SPACING)
    write_ct_series(folder / "DICOM" / "mr", HEAD, SPACING, tags={"Modality": "MR", "SOPClassUID": MR})
    rtstruct(folder / "DICOM" / "old plan.dcm")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"broken")
    (folder / "viewer.exe").write_bytes(bytes(10_000))
    (folder / "short").write_bytes(b"\x08\x00")
    (folder / "empty").touch()
    (folder / "images.zip").write_bytes(b"PK\x03\x04")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.dcm").write_bytes(planning[0].read_bytes())
    (folder / "DICOM" / "A" / "._CT0001.dcm").write_bytes(b"\0\5\x16\7")
    return folder, uid_of(planning)


def test_planning_ct_among_other_things(patient_folder):
    folder, uid = patient_folder
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}
    ct = read_planning_ct(folder)
    assert ct.series_uid == uid and len(ct.slices) == 24 and not ct.warnings
    assert before == {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}


def test_inventory_lists_every_series_and_every_other_file(patient_folder):
    inventory = find_series(patient_folder[0])
    assert sorted((series.modality, len(series.headers)) for series in inventory.series) == [
        ("CT", 2),
        ("CT", 5),
        ("CT", 24),
        ("CT", 24),
        ("MR", 24),
        ("RTSTRUCT", 1),
    ]
    assert inventory.ignored_counts() == {
        "not DICOM": 3,
        "a DICOMDIR": 1,
        "an archive that is not opened": 1,
        "hidden": 1,
    }


def test_dicomdir_stands_for_its_folder(patient_folder):
    folder, uid = patient_folder
    assert read_planning_ct(folder / "DICOMDIR").series_uid == uid


def test_dicomdir_of_dcmtk(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING)
    for path in files:
        path.rename(path.with_suffix(""))
    subprocess.run(
        [require_program("dcmmkdir"), "--general-purpose", *(p.stem for p in files)], cwd=tmp_path, check=True
    )
    assert len(read_planning_ct(tmp_path / "DICOMDIR").slices) == len(read_planning_ct(tmp_path).slices) == 24


def test_one_file_stands_for_its_series(tmp_path):
    first, second = (write_ct_series(tmp_path, HEAD, SPACING, prefix=prefix) for prefix in ("A", "B"))
    for files in (first, second):
        assert read_planning_ct(files[5]).series_uid == uid_of(files)
    write_ct_series(tmp_path / "below", HEAD, SPACING)
    assert len(find_series(first[0]).series) == 2


def test_series_spread_over_folders(tmp_path):
    files = write_ct_series(tmp_path, HEAD, SPACING)
    for n, path in enumerate(files):
        (tmp_path / f"{n % 3}").mkdir(exist_ok=True)
        path.rename(tmp_path / f"{n % 3}" / path.name)
    assert len(read_planning_ct(tmp_path).slices) == 24


def test_links_neither_loop_nor_double(tmp_path):
    files = write_ct_series(tmp_path / "real", HEAD, SPACING)
    (tmp_path / "real" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "slice.dcm").symlink_to(files[0])
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    ct = read_planning_ct(tmp_path)
    assert len(ct.slices) == 24 and not any("twice" in warning for warning in ct.warnings)
    assert find_series(tmp_path / "again").series[0].uid == ct.series_uid


def test_pipes_are_not_opened(tmp_path):
    write_ct_series(tmp_path, HEAD, SPACING)
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "link.dcm").symlink_to("pipe.dcm")
    assert len(read_planning_ct(tmp_path).slices) == 24
    with pytest.raises(UnusableInput, match="no file or folder"):
        read_planning_ct(tmp_path / "pipe.dcm")


def test_links_to_nowhere_are_unreadable_files_and_warned_about(tmp_path):
    uid = uid_of(write_ct_series(tmp_path, HEAD, SPACING))
    (tmp_path / "gone.dcm").symlink_to("nowhere")
    assert read_planning_ct(tmp_path).warnings == [
        f"1 file or folder beside series {uid} could not be read: check that no slice is missing at its ends."
    ]


@pytest.fixture
def ordinary_user():
    """Root may read everything: be nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_files_and_folders_without_permission(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("locked")
    write_ct_series(folder / "ct", HEAD, SPACING)
    ours = [path for path in folder.parents if path.name.startswith(("pytest-", "popen-"))]  # also xdist's
    for path in [folder, *folder.rglob("*"), *ours]:
        path.chmod(0o755)
    (folder / "ct" / "CT0024.dcm").chmod(0)
    (folder / "closed").mkdir(mode=0)
    request.getfixturevalue("ordinary_user")
    ct = read_planning_ct(folder)
    assert len(ct.slices) == 23 and ct.warnings[0].startswith("2 files or folders beside")
    with pytest.raises(UnusableInput, match=r"CT0024.dcm cannot be read .*permissions"):
        read_planning_ct(folder / "ct" / "CT0024.dcm")
    with pytest.raises(UnusableInput, match=r"closed cannot be listed .*permissions"):
        read_planning_ct(folder / "closed")
    with pytest.raises(UnusableInput, match="permissions"):
        read_planning_ct(folder / "closed" / "below")


def test_progress_grows_to_one(tmp_path):
    write_ct_series(tmp_path, HEAD, SPACING)
    events = []
    read_planning_ct(tmp_path, emit=events.append)
    for stage in ("find", "read"):
        fractions = [event.fraction for event in events if event.kind == "progress" and event.stage == stage]
        assert len(fractions) > 2 and fractions == sorted(fractions) and fractions[-1] == 1


@pytest.mark.parametrize("stage", ["find", "read"])
def test_cancel(tmp_path, stage):
    files = write_ct_series(tmp_path, HEAD, SPACING)
    require_program("dcmcjpeg")
    compress(files[:1], "jpeg-lossless")
    cancel = CancelToken()
    seen = []

    def stop(event):
        seen.append(event.stage)
        if event.stage == stage:
            cancel.cancel()

    with pytest.raises(Cancelled):
        read_planning_ct(tmp_path, emit=stop, cancel=cancel)
    assert seen.count(stage) == 1


def test_nothing_of_the_patient_is_logged_or_warned(tmp_path, capfd, caplog, recwarn):
    require_program("dcmcjpeg")
    caplog.set_level(logging.DEBUG)
    token = "TESTTOKEN"
    patient = {"PatientName": f"{token}^A", "PatientID": f"{token}1", "PatientBirthDate": "19121212"}
    files = write_ct_series(tmp_path / token, HEAD, SPACING, patient=patient)
    rtstruct(tmp_path / token / f"{token}.dcm")
    compress(files[3:4], "jpeg-lossless")
    for path in files:
        path.write_bytes(
            path.read_bytes().replace(b"ISO_IR 100", token.encode() + b" ")
        )  # quoted in pydicom's warnings
    data = files[3].read_bytes()
    (tmp_path / token / f"{token}2.dcm").write_bytes(data[:400])
    (tmp_path / token / "link").symlink_to("nowhere")
    events = []
    strange = data.replace(b"19121212", b"1912\xff\xff12").replace(b"TESTTOKEN1", b"TESTTOKEN\xff")
    for broken, refusal in ((strange, "different patients"), (data[:-60], "no pixel data")):
        files[3].write_bytes(broken)
        with pytest.raises(UnusableInput, match=refusal):
            read_planning_ct(tmp_path / token, emit=events.append)
    files[3].write_bytes(data)
    read_planning_ct(tmp_path / token, emit=events.append)
    assert any(event.kind == "warning" for event in events)
    texts = [
        *capfd.readouterr(),
        caplog.text,
        *(str(warning.message) for warning in recwarn),
        *(str(event) for event in events),
    ]
    assert not any(token in text or "1912" in text for text in texts)


def test_description_is_one_short_line(tmp_path):
    for path in write_ct_series(tmp_path, HEAD, SPACING)[1:]:
        edit(path, SeriesDescription="  Head \r\n neck ")
    assert find_series(tmp_path).series[0].description == "Head neck"
