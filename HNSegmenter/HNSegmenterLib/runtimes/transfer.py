"""Archives into and out of a container: streamed, and nothing trusted that comes out."""

from __future__ import annotations

import errno
import gzip
import io
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import RuntimeFault
from ..events import CancelToken

CHUNK = 1 << 20
# A labelmap of a planning CT takes well under 1 MB compressed and about 35 MB uncompressed.
MOST_RESULT_BYTES = 1 << 30
MOST_RESULT_FILES = 200
SAFE_NAME = re.compile(r"[^\W_][\w .+()-]{0,120}")


def file_in_tar(
    file: Path,
    folder: str,
    owner: int,
    tell: Callable[[float], None],
    cancel: CancelToken,
) -> Iterator[bytes]:
    """A tar archive of one file, made while it is sent; `tell` gets the fraction sent (0..1).

    folder: put a folder of that name around the file, "" for none. owner: user and group id inside the container.
    """
    size = file.stat().st_size
    if folder:
        yield _header(folder, 0, tarfile.DIRTYPE, 0o777, owner)
    yield _header(f"{folder}/{file.name}" if folder else file.name, size, tarfile.REGTYPE, 0o644, owner)
    sent = 0
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            cancel.raise_if_cancelled()
            yield chunk
            sent += len(chunk)
            tell(sent / size)
    yield b"\0" * (-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int, kind: bytes, mode: int, owner: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, kind, mode
    info.uid = info.gid = owner
    info.mtime = int(time.time())
    return info.tobuf(tarfile.GNU_FORMAT)


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same archive in gzip, which the engine unpacks itself; level 1, because the network is not that slow."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packer:
        for chunk in chunks:
            packer.write(chunk)
            if buffer.tell() > CHUNK // 4:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


class _Reader(io.RawIOBase):
    """The chunks of an archive as the file that tarfile reads from."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        n = min(len(target), len(self._rest))
        target[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def extract_results(
    chunks: Iterable[bytes],
    folder: Path,
    cancel: CancelToken,
) -> list[str]:
    """Write the regular files of a container's results folder into `folder`; return their names.

    The archive is not trusted. Raises RuntimeFault for links, devices, subfolders with files, odd names, too many
    files or bytes, and for an archive that breaks off.
    """
    names: list[str] = []
    total = 0
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Reader(chunks), CHUNK), mode="r|") as archive:
            for member in archive:
                cancel.raise_if_cancelled()
                if member.isdir():
                    continue
                name = _safe_name(member)
                total += member.size
                if total > MOST_RESULT_BYTES or len(names) >= MOST_RESULT_FILES:
                    raise RuntimeFault(
                        f"The container's results are larger than {MOST_RESULT_BYTES >> 20} MB or {MOST_RESULT_FILES} "
                        "files: they are not taken over. Use an image that keeps its contract."
                    )
                _write(archive.extractfile(member), folder / name)
                names.append(name)
    except (tarfile.TarError, EOFError) as error:
        raise RuntimeFault("The container's results broke off half-way: run it again.") from error
    return names


def _write(source, path: Path) -> None:
    with disk_faults():
        target = path.open("wb", buffering=0)  # a full disk must show here, not when the file is closed
    with target:
        while chunk := source.read(CHUNK):
            rest = memoryview(chunk)
            with disk_faults():
                while rest:
                    rest = rest[target.write(rest) :]


@contextmanager
def disk_faults() -> Iterator[None]:
    """Turns what this computer's disk refuses into a sentence; never wrap the network's errors, OSErrors as well."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RuntimeFault(
                "The disk of this computer is full, the results do not fit into the job folder: "
                "free space, or name another folder in HNSEG_JOBS."
            ) from error
        raise RuntimeFault(
            f"The results cannot be written into the job folder ({error.strerror}): "
            "check its permissions, or name another folder in HNSEG_JOBS."
        ) from error


def _safe_name(member: tarfile.TarInfo) -> str:
    """The file's name, if it lies directly in the results folder and is a regular file of a harmless name."""
    parts = member.name.split("/")
    if not member.isreg() or len(parts) != 2 or not SAFE_NAME.fullmatch(parts[-1]):
        kind = "a link" if member.issym() or member.islnk() else "an odd entry"
        raise RuntimeFault(
            f"The container's results hold {kind} in place of plain files: they are not taken over. "
            "Use an image that keeps its contract."
        )
    return parts[-1]
