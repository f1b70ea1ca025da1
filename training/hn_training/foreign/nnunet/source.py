"""Where an nnU-Net lies: a result folder, a folder or zip with several; one configuration of it, as plain files.

nnU-Net names a result folder TRAINER__PLANS__CONFIGURATION, with plans.json, dataset.json and fold_N in it.
`nnUNetv2_export_model_to_zip` packs such folders.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from ..errors import Refused
from .checkpoints import LARGEST
from .plans import LARGEST_JSON, supported

FINAL, BEST = "checkpoint_final.pth", "checkpoint_best.pth"
MOST_ENTRIES = 100_000
CHUNK = 1024**2


@dataclass(frozen=True)
class Found:
    """A result folder. files: those in it and in its folds, relative to it; configuration: "" if its name says none."""

    path: PurePosixPath
    configuration: str
    files: frozenset[str]

    @property
    def folds(self) -> list[str]:
        """Numbers first, in their order."""
        names = {file.partition("/")[0].removeprefix("fold_") for file in self.files if file.startswith("fold_")}
        return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


@dataclass(frozen=True)
class Chosen:
    """Plain files of one network: the folder of plans.json and dataset.json, and a checkpoint for each fold."""

    folder: Path
    configuration: str
    folds: tuple[str, ...]
    checkpoint: str

    def file(self, fold: str) -> Path:
        return self.folder / f"fold_{fold}" / self.checkpoint


@contextmanager
def opened(
    source: Path, work: Path, configuration: str | None, folds: list[str] | None, checkpoint: str | None
) -> Iterator[Chosen]:
    """The files of one network of `source`, those of a zip copied into a folder below `work` meanwhile.

    Raises Refused. checkpoint: the file's name; None takes the final one, else the best.
    """
    if source.is_dir():
        found = _choose(_in_folder(source), configuration, source)
        chosen = _complete(found, folds, checkpoint, source)
        yield Chosen(source / found.path, found.configuration, *chosen)
        return
    try:
        archive = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise Refused(f"There is no {source}.") from None
    except (zipfile.BadZipFile, EOFError, ValueError):
        raise Refused(f"{source} is neither a folder nor a whole zip file: copy or download it again.") from None
    except OSError as error:
        raise Refused(f"{source} cannot be read: {error.strerror}.") from None
    with archive, TemporaryDirectory(dir=work, prefix="zip-", ignore_cleanup_errors=True) as folder:
        found = _choose(_in_zip(archive, source), configuration, source)
        names, checkpoint = _complete(found, folds, checkpoint, source)
        copies = {"plans.json": LARGEST_JSON, "dataset.json": LARGEST_JSON}
        copies |= {f"fold_{fold}/{checkpoint}": LARGEST for fold in names}
        for name, most in copies.items():
            if name in found.files:
                _copy(archive, str(found.path / name), Path(folder) / name, most)
        yield Chosen(Path(folder), found.configuration, names, checkpoint)


def _in_folder(source: Path) -> list[str]:
    """Relative paths of the files in it, three folders deep, as nnU-Net lays them."""
    paths = [path for pattern in ("*", "*/*", "*/*/*", "*/*/*/*") for path in source.glob(pattern)]
    return [path.relative_to(source).as_posix() for path in paths if path.is_file()]


def _in_zip(archive: zipfile.ZipFile, source: Path) -> list[str]:
    """Names of its files. Raises Refused for those that would lie elsewhere, links and what is locked."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise Refused(f"{source} has {len(entries):,} entries: nnU-Net exports some dozens.")
    # half a zip may end with the list of a checkpoint, itself a zip
    if not entries or min(entry.header_offset for entry in entries):
        raise Refused(f"{source} is no whole zip file: copy or download it again, and compare its size.")
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts or "\0" in name:
            raise Refused(f"{source} has the entry {name!r}, which would lie outside the zip: it isn't nnU-Net's.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise Refused(f"{source} has the link {name!r}: zip the files themselves.")
        if entry.flag_bits & 1:
            raise Refused(f"{source} is locked with a password: unzip it, and import the folder.")
    names = [entry.filename for entry in entries if not entry.is_dir()]
    if twice := next((name for name in set(names) if names.count(name) > 1), None):
        raise Refused(f"{source} has {twice!r} twice: it isn't nnU-Net's.")
    return names


def _choose(files: list[str], configuration: str | None, source: Path) -> Found:
    """Raises Refused where there is none, and where there are several to choose from."""
    paths = [PurePosixPath(file) for file in files]
    folders = sorted({path.parent for path in paths if path.name == "plans.json"})
    found = []
    for folder in folders:
        inside = [path.relative_to(folder) for path in paths if path.is_relative_to(folder)]
        held = frozenset(
            path.as_posix() for path in inside if len(path.parts) == 1 or path.parts[0].startswith("fold_")
        )
        name = folder.name or (source.name if source.is_dir() else "")
        found.append(Found(folder, name.split("__")[2] if name.count("__") == 2 else "", held))
    found = [folder for folder in found if folder.folds] or found[:1]
    if not found:
        if any(path.name == "plans.pkl" or path.suffix == ".model" for path in paths):
            raise Refused(f"{source} is a network of nnU-Net v1 (plans.pkl), which can't be imported: only v2 can.")
        raise Refused(
            f"{source} has no plans.json: name the folder TRAINER__PLANS__CONFIGURATION of nnU-Net v2's results, or "
            "the zip of nnUNetv2_export_model_to_zip."
        )
    if configuration:
        fitting = [folder for folder in found if folder.configuration in (configuration, "")]
    else:
        fitting = [folder for folder in found if supported(folder.configuration)] or found
    there = ", ".join(str(folder.path) if str(folder.path) != "." else source.name for folder in found)
    if not fitting:
        raise Refused(f"{source} has no network of the configuration {configuration}. It has {there}.")
    if len(fitting) > 1:
        raise Refused(f"{source} holds several networks ({there}): choose by --configuration, or name its folder.")
    return fitting[0]


def _complete(
    found: Found, folds: list[str] | None, checkpoint: str | None, source: Path
) -> tuple[tuple[str, ...], str]:
    """The folds and the checkpoint's name; raises Refused where one is missing."""
    if not found.folds:
        raise Refused(f"{source} has plans.json but no fold_0 or any other fold: the weights are missing.")
    if absent := [fold for fold in folds or () if fold not in found.folds]:
        raise Refused(f"{source} has no fold {', '.join(absent)}. It has {', '.join(found.folds)}.")
    names = [checkpoint] if checkpoint else [FINAL, BEST]
    if any("/" in name or "\\" in name for name in names):
        raise Refused(f"--checkpoint {checkpoint} is a path: the name of a file in each fold is needed.")
    wanted = folds or found.folds
    if not folds and "all" in wanted and len(wanted) > 1:  # its training saw every patient
        raise Refused(f"{source} has fold_all beside other folds: choose with --folds, for instance --folds all.")
    for name in names:
        lacking = [fold for fold in wanted if f"fold_{fold}/{name}" not in found.files]
        if not lacking:
            return tuple(wanted), name
        if len(lacking) < len(wanted):
            raise Refused(
                f"{source} has no {name} in fold {', '.join(lacking)}: complete it, or choose others with --folds."
            )
    raise Refused(f"{source} has no {' and no '.join(names)} in fold {', '.join(wanted)}: name it with --checkpoint.")


def _copy(archive: zipfile.ZipFile, name: str, to: Path, most: int) -> None:
    """One file of the zip, its checksum compared. Raises Refused."""
    if archive.getinfo(name).file_size > most:
        raise Refused(f"{archive.filename} says that {name} is {archive.getinfo(name).file_size:,} bytes: too many.")
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(name) as packed, to.open("wb") as plain:  # reads no more than the size that it says
            shutil.copyfileobj(packed, plain, CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Refused(
            f"{archive.filename} is damaged, {name} can't be unpacked ({error}): copy or download it again."
        ) from None
