"""Archives that go into a container and come out of one, hostile ones included."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from HNSegmenterLib.errors import Cancelled, RuntimeFault
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.runtimes import transfer
from HNSegmenterLib.runtimes.watch import lines


def packed(*members: tuple[str, bytes, bytes]) -> bytes:
    """A tar of (name, type, content)."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def pieces(data: bytes, size: int = 700):
    return (data[start : start + size] for start in range(0, len(data), size))


FILE, FOLDER = tarfile.REGTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize("folder", ["", "data"])
@pytest.mark.parametrize("pack", [lambda chunks: chunks, transfer.compressed])
@pytest.mark.parametrize("size", [0, 1, 512, 3_000_001])
def test_what_goes_in_is_the_file(tmp_path, folder, pack, size):
    file = tmp_path / "img.nii"
    content = bytes(range(256)) * (size // 256 + 1)
    file.write_bytes(content[:size])
    fractions = []
    sent = b"".join(pack(transfer.file_in_tar(file, folder, 10001, fractions.append, CancelToken())))
    with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
        member = archive.getmember(f"{folder}/img.nii" if folder else "img.nii")
        assert archive.extractfile(member).read() == content[:size]
        assert (member.uid, member.gid, member.mode) == (10001, 10001, 0o644)
        assert len(archive.getmembers()) == (2 if folder else 1)
    assert fractions == sorted(fractions) and (not size or fractions[-1] == 1.0)


def test_compression_is_for_networks(tmp_path):
    file = tmp_path / "img.nii"
    file.write_bytes(bytes(5_000_000))
    sent = b"".join(transfer.compressed(transfer.file_in_tar(file, "", 0, lambda fraction: None, CancelToken())))
    assert len(sent) < 100_000 and gzip.decompress(sent)


def test_cancel_while_it_goes_in(tmp_path):
    file = tmp_path / "img.nii"
    file.write_bytes(bytes(5 * transfer.CHUNK))
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        for _ in transfer.file_in_tar(file, "", 0, lambda fraction: cancel.cancel(), cancel):
            pass


def test_what_comes_out(tmp_path):
    data = packed(
        ("results", FOLDER, b""), ("results/Eye_L.nii.gz", FILE, b"eye" * 5000), ("results/result.json", FILE, b"{}")
    )
    assert transfer.extract_results(pieces(data), tmp_path, CancelToken()) == ["Eye_L.nii.gz", "result.json"]
    assert (tmp_path / "Eye_L.nii.gz").read_bytes() == b"eye" * 5000


@pytest.mark.parametrize(
    "member",
    [
        ("results/../../evil", FILE, b"x"),
        ("/etc/evil", FILE, b"x"),
        ("results/sub/evil", FILE, b"x"),
        ("evil", FILE, b"x"),
        ("results/.hidden", FILE, b"x"),
        ("results/a\\b", FILE, b"x"),
        ("results/C:evil", FILE, b"x"),
        ("results/link", tarfile.SYMTYPE, b"/etc/passwd"),
        ("results/link", tarfile.LNKTYPE, b"results/result.json"),
        ("results/pipe", tarfile.FIFOTYPE, b""),
        ("results/disk", tarfile.BLKTYPE, b""),
    ],
)
def test_hostile_archives(tmp_path, member):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(RuntimeFault, match="they are not taken over"):
        transfer.extract_results(pieces(packed(member)), folder, CancelToken())
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MOST_RESULT_BYTES", 5000)
    data = packed(("results/a", FILE, bytes(3000)), ("results/b", FILE, bytes(3000)))
    with pytest.raises(RuntimeFault, match="larger than"):
        transfer.extract_results(pieces(data), tmp_path, CancelToken())


def test_too_many(tmp_path):
    data = packed(*((f"results/f{i}", FILE, b"") for i in range(transfer.MOST_RESULT_FILES + 1)))
    with pytest.raises(RuntimeFault, match="larger than"):
        transfer.extract_results(pieces(data), tmp_path, CancelToken())


@pytest.mark.parametrize("keep", [100, 700, 4000])
def test_archive_that_breaks_off(tmp_path, keep):
    data = packed(("results/a.nii.gz", FILE, bytes(9000)))
    with pytest.raises(RuntimeFault, match="broke off half-way"):
        transfer.extract_results(pieces(data[:keep]), tmp_path, CancelToken())


def test_lines_of_a_log_in_pieces():
    said = '{"event": "progress"}\nzwei é\nlast'.encode()
    assert [line for line in lines(pieces(said, 5)) if line is not None] == ['{"event": "progress"}', "zwei é", "last"]
    assert list(lines([b"a", None, b"b\n"])) == [None, "ab"]


def test_endless_line_is_cut():
    (line,) = lines(bytes(1000) for _ in range(200))
    assert len(line) < 70_000
