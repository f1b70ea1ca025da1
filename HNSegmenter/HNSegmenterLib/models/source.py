"""Where a model to be added comes from: a folder, or a ZIP archive of one. Neither is trusted."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from ..errors import UnusableModel
from ..events import CancelToken
from .folder import FILES, MOST, NETWORK

CHUNK = 1024 * 1024
# A network's weights hardly get smaller in an archive; what shrinks to a hundredth is no network.
MOST_SHRUNK, NOT_WORTH_A_LOOK = 100, 16 * 1024**2
NNUNET = re.compile(r"(?:.*/)?(?:plans\.json|dataset\.json|plans\.pkl|fold_(?:\d+|all)(?:/.*)?)")


class Source(Protocol):
    """The four files of a model, wherever they are."""

    def copy(self, folder: Path, cancel: CancelToken) -> None:
        """Write them into a folder. Raises UnusableModel, Cancelled, or OSError where they cannot be written."""


def open_source(path: Path) -> Source:
    """Raises UnusableModel unless all four files are there and are plain files of a bearable size."""
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise UnusableModel(f"{path} cannot be read ({error.strerror}): name a model folder or its ZIP.") from error
    if stat.S_ISDIR(kind):
        return _Folder(path)
    if stat.S_ISREG(kind) and zipfile.is_zipfile(path):
        return _Archive(path)
    raise UnusableModel(
        f"{path} is neither a folder nor a ZIP archive: name a model folder ({', '.join(FILES)}) or a ZIP of one."
    )


class _Folder:
    def __init__(self, path: Path):
        self._path = path
        try:
            names = [item.name for item in path.iterdir()]
        except OSError as error:
            raise UnusableModel(f"{path} cannot be read ({error.strerror}): ask its owner for permission.") from error
        _check_names(names, path)
        for name in FILES:
            found = (path / name).lstat()
            if stat.S_ISLNK(found.st_mode):
                raise UnusableModel(f"{path}: {name} is a link: copy the files themselves (cp -rL) and add the copy.")
            if not stat.S_ISREG(found.st_mode):
                raise UnusableModel(f"{path}: {name} is no plain file: copy or export the model again.")
            _check_size(name, found.st_size, path)

    def copy(self, folder: Path, cancel: CancelToken) -> None:
        for name in FILES:
            with _readable(self._path, name), (self._path / name).open("rb") as source:
                _copy(source, folder / name, MOST[name], cancel)


class _Archive:
    def __init__(self, path: Path):
        self._path = path
        with _readable(path), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        for member in members:
            _check_path(member.filename, path)
        abouts = [member.filename for member in members if PurePosixPath(member.filename).name == "model.json"]
        if len(abouts) > 1:
            raise UnusableModel(f"{path} holds {len(abouts)} models ({', '.join(abouts[:3])}): add one ZIP each.")
        base = str(PurePosixPath(abouts[0]).parent) if abouts else "."
        prefix = "" if base == "." else base + "/"
        _check_names([_within(member.filename, prefix) for member in members], path)
        self._members = {name: _only(members, prefix + name, path) for name in FILES}
        for name, member in self._members.items():
            _check_member(name, member, path)

    def copy(self, folder: Path, cancel: CancelToken) -> None:
        with zipfile.ZipFile(self._path) as archive:
            for name, member in self._members.items():
                with _readable(self._path, name), archive.open(member) as source:
                    _copy(source, folder / name, MOST[name], cancel)


def _check_names(names: Iterable[str], path: Path) -> None:
    """Raises UnusableModel with the reason unless the four files are among the names."""
    names = set(names)
    if not (missing := [name for name in FILES if name not in names]):
        if outside := [name for name in names if name.startswith(NETWORK + ".")]:
            raise UnusableModel(
                f"{path}: the weights are outside of {NETWORK} ({outside[0]}): export the network as one file."
            )
        return
    if any(NNUNET.fullmatch(name) for name in names):
        raise UnusableModel(
            f"{path} is an nnU-Net as it was trained: import it first with  "
            f"python -m hn_training import-nnunet {path} --organs MAP  and add what that writes."
        )
    if len(missing) == len(FILES):
        raise UnusableModel(
            f"{path} holds no model: a model's folder has {', '.join(FILES)}; an nnU-Net has to be imported first "
            "(python -m hn_training import-nnunet)."
        )
    raise UnusableModel(f"{path}: {', '.join(missing)} is missing: copy or export the model again.")


def _check_size(name: str, size: int, path: Path) -> None:
    if not 0 < size <= MOST[name]:
        raise UnusableModel(f"{path}: {name} is {'too large' if size else 'empty'}: copy or export the model again.")


def _check_path(name: str, path: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0] or "\\" in name:
        raise UnusableModel(f"{path} names files outside of itself ({name!r}): it is not to be trusted.")


def _within(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _only(members: list[zipfile.ZipInfo], name: str, path: Path) -> zipfile.ZipInfo:
    found = [member for member in members if member.filename == name]
    if len(found) != 1:
        raise UnusableModel(f"{path} holds {name} {len(found)} times: make the archive again.")
    return found[0]


def _check_member(name: str, member: zipfile.ZipInfo, path: Path) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was made on Windows
    if kind not in (0, stat.S_IFREG):
        raise UnusableModel(f"{path}: {name} is a link or a device: make the archive of plain files.")
    if member.flag_bits & 1:
        raise UnusableModel(f"{path} is encrypted: make the archive without a password.")
    _check_size(name, member.file_size, path)
    if member.file_size > max(NOT_WORTH_A_LOOK, MOST_SHRUNK * member.compress_size):
        raise UnusableModel(f"{path}: {name} would unpack to far more than a network does: it is not to be trusted.")


@contextmanager
def _readable(path: Path, name: str = ""):
    """Faults of reading become sentences; those of writing stay OSErrors."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, UnusableModel):
            raise
        raise UnusableModel(f"{path} is a damaged archive{f' ({name})' if name else ''}: copy it again.") from error


def _copy(source: IO[bytes], target: Path, most: int, cancel: CancelToken) -> None:
    with target.open("xb") as out:
        while chunk := source.read(CHUNK):
            cancel.raise_if_cancelled()
            most -= len(chunk)
            if most < 0:  # it grew since it was looked at
                raise UnusableModel(f"{target.name} is too large: copy or export the model again.")
            out.write(chunk)
