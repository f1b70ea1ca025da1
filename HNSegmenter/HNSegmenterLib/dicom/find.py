"""Every DICOM series in a folder, whatever else lies there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import UnusableInput
from ..events import CancelToken, Emit, Event, ignore
from ..silent_libraries import quiet
from .contents import Contents, common, sort
from .headers import Header, NotDicom, read_header

ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"}
PROGRESS_STEP = 16  # files between two progress events

HIDDEN = "hidden"
DIRECTORY = "a DICOMDIR"
ARCHIVE = "an archive that is not opened"
NOT_DICOM = "not DICOM"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Ignored:
    """A file that is no part of a series, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Series:
    """The files of one Series Instance UID ("" for files that have none), in order of path."""

    uid: str
    headers: tuple[Header, ...]

    @cached_property
    def contents(self) -> Contents:
        return sort(self.headers)

    @cached_property
    def modality(self) -> str:
        return common(self._typical, "Modality").upper() or "?"

    @cached_property
    def description(self) -> str:
        return " ".join(common(self._typical, "SeriesDescription").split())[:64]

    def to_dict(self) -> dict:
        """For someone to choose from, on the screen: the folder may name a patient. thickness_mm: None if not said."""
        first = self._typical[0]
        about = {
            "uid": self.uid,
            "modality": self.modality,
            "description": self.description,
            "files": len(self.headers),
        }
        return about | {"thickness_mm": first.number("SliceThickness"), "folder": str(first.path.parent)}

    @property
    def _typical(self) -> tuple[Header, ...]:
        """The files that say what the series is: its slices, where it has more of them than of other objects."""
        contents = self.contents
        return contents.slices if contents.images > contents.others and contents.slices else self.headers


@dataclass(frozen=True)
class Inventory:
    """What was found: the series, the other files, and the series of the file that was named, if one was."""

    path: Path
    series: tuple[Series, ...]
    ignored: tuple[Ignored, ...]
    named_uid: str | None = None

    def find(self, uid: str) -> Series | None:
        return next((series for series in self.series if series.uid == uid), None)

    def ignored_counts(self) -> Counter[str]:
        return Counter(item.reason for item in self.ignored)


def find_series(folder: Path, emit: Emit | None = None, cancel: CancelToken | None = None) -> Inventory:
    """Read the headers of all files under a folder and group them into series.

    folder: a folder (searched with all its subfolders, links followed once), a DICOMDIR (its folder is searched), or
    one DICOM file (its folder is searched without subfolders, and `named_uid` is its series).
    emit: progress events of stage "find"; fraction is of this search alone.
    Raises UnusableInput where the path does not exist or cannot be listed; Cancelled.
    """
    emit, cancel = emit or ignore, cancel or CancelToken()
    path = Path(folder)
    _check_path(path)
    with quiet():
        named_uid = None
        if path.is_dir():
            files, closed = _walk(path, cancel)
        elif _is_dicomdir(path):
            files, closed = _walk(path.parent, cancel)
        else:
            named_uid = _series_of(path)
            files, closed = _walk(path.parent, cancel, deep=False)
        groups, ignored = _read_all(files, emit, cancel)
    series = tuple(Series(uid, tuple(headers)) for uid, headers in groups.items())
    return Inventory(path, series, (*closed, *ignored), named_uid)


def inventory_of(
    files: list[Path], home: Path, emit: Emit | None = None, cancel: CancelToken | None = None
) -> Inventory:
    """The series of exactly these files; home: what sentences call the place. Emits and raises as find_series does."""
    with quiet():
        groups, ignored = _read_all(sorted(files), emit or ignore, cancel or CancelToken())
    return Inventory(home, tuple(Series(uid, tuple(headers)) for uid, headers in groups.items()), tuple(ignored))


def each_file(folder: Path, emit: Emit | None = None, cancel: CancelToken | None = None) -> Iterator[Header | Ignored]:
    """Every file under a folder, as find_series looks at it, one after the other: for folders of many patients, whose
    headers would not fit into memory together. Emits and raises as find_series does."""
    path, cancel = Path(folder), cancel or CancelToken()
    _check_path(path)
    files, closed = _walk(path, cancel)
    yield from closed
    yield from _each(files, emit or ignore, cancel)


def _check_path(path: Path) -> None:
    try:
        exists = path.is_dir() or path.is_file()
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from None
    if not exists:
        raise UnusableInput(f"{path} is no file or folder: give the folder that holds the CT series.")


def _series_of(file: Path) -> str:
    try:
        return read_header(file).text("SeriesInstanceUID")
    except NotDicom:
        raise UnusableInput(f"{file} is not a DICOM file: give a CT series in DICOM, or a NIfTI file.") from None
    except OSError as error:
        raise UnusableInput(f"{file} cannot be read ({error.strerror}): check its permissions.") from None


def _read_all(files: list[Path], emit: Emit, cancel: CancelToken) -> tuple[dict[str, list[Header]], list[Ignored]]:
    groups: dict[str, list[Header]] = {}
    ignored: list[Ignored] = []
    for found in _each(files, emit, cancel):
        if isinstance(found, Header):
            groups.setdefault(found.text("SeriesInstanceUID"), []).append(found)
        else:
            ignored.append(found)
    return groups, ignored


def _each(files: list[Path], emit: Emit, cancel: CancelToken) -> Iterator[Header | Ignored]:
    for n, file in enumerate(files):
        if n % PROGRESS_STEP == 0:
            cancel.raise_if_cancelled()
            emit(Event("progress", "find", n / len(files)))
        yield _look_at(file)
    emit(Event("progress", "find", 1.0))


def _look_at(file: Path) -> Header | Ignored:
    if reason := _reason_to_ignore(file):
        return Ignored(file, reason)
    try:
        return read_header(file)
    except NotDicom:
        return Ignored(file, NOT_DICOM)
    except OSError:
        return Ignored(file, UNREADABLE)


def _reason_to_ignore(file: Path) -> str | None:
    if file.name.startswith("."):
        return HIDDEN
    if _is_dicomdir(file):
        return DIRECTORY
    if file.suffix.lower() in ARCHIVES:
        return ARCHIVE
    return None


def _is_dicomdir(file: Path) -> bool:
    return file.name.upper() == "DICOMDIR"


def _walk(folder: Path, cancel: CancelToken, deep: bool = True) -> tuple[list[Path], list[Ignored]]:
    """All regular files, sorted by path, and the folders that cannot be listed.

    Every real folder and file comes once, so links can neither loop nor double anything.
    """
    files: dict[str, Path] = {}
    closed: list[Ignored] = []
    seen: set[str] = set()
    pending = [folder]
    while pending:
        cancel.raise_if_cancelled()
        here = pending.pop()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(here))
        except OSError as error:
            if here == folder:
                raise UnusableInput(f"{folder} cannot be listed ({error.strerror}): check its permissions.") from None
            closed.append(Ignored(here, UNREADABLE))
            continue
        for entry in entries:
            path = here / entry.name
            if _is_folder(entry):
                if deep and not entry.name.startswith("."):
                    pending.append(path)
            else:
                _take(entry, path, real, files)
    return sorted(files.values()), closed


def _take(entry: os.DirEntry, path: Path, real: str, files: dict[str, Path]) -> None:
    """Put a file of the folder `real` under its real path, where it goes before links to it."""
    if entry.is_symlink():
        if path.is_file() or not path.exists():
            files.setdefault(os.path.realpath(path), path)
    elif entry.is_file():
        files[str(Path(real, entry.name))] = path


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
