"""The models of this computer: the shipped one, and those that were added, each in <name>/<version>/."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import HNSegmenterError, UnusableModel, WrongUsage
from ..events import CancelToken
from ..settings import APPLICATION
from .folder import ModelInfo, damaged, read_folder
from .shipped import shipped_model
from .source import open_source

PART = ".part"
LEFT_BEHIND_S = 24 * 3600.0  # older remains are of an adding that was killed


def models_folder() -> Path:
    """HNSEG_MODELS, or the folder of models where the system keeps a user's data."""
    if chosen := os.environ.get("HNSEG_MODELS"):
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path(APPLICATION, appauthor=False) / "models"


def all_models() -> list[ModelInfo]:
    """The shipped one, then the others by name, the newest version first.

    Networks are not checksummed: this is fast. A damaged model is listed with its fault.
    """
    shipped = shipped_model()
    return [*([shipped] if shipped else []), *_added()]


def find(text: str) -> ModelInfo:
    """NAME (its newest version), NAME@VERSION, or the path of a model folder. Networks are not checksummed.

    Raises WrongUsage if there is none, UnusableModel if it is damaged.
    """
    named = _named(text, all_models())
    if not named and is_folder(text):
        return read_folder(Path(text).absolute(), verify=False)
    if not named:
        raise WrongUsage(
            f"There is no model {text!r} on this computer: see  hn-segmenter model list , add one with  "
            "hn-segmenter model add FOLDER  or give the path of a model folder."
        )
    if named[0].fault:  # an older version in its place would be another result than was asked for
        raise UnusableModel(named[0].fault)
    return named[0]


def reference(model: ModelInfo) -> str:
    """What `find` knows a model by: NAME@VERSION, or its folder's path if it is none of this computer's models."""
    stored = models_folder() / model.name / model.version
    return model.title if model.shipped or model.folder == stored else str(model.folder)


def is_folder(text: str) -> bool:
    """Whether it is the path of one; what cannot be a path, such as a long list of organs, is none."""
    try:
        return bool(text) and Path(text).is_dir()
    except (OSError, ValueError):
        return False


def add(source: Path, cancel: CancelToken | None = None) -> ModelInfo:
    """Copy a model (a folder, or a ZIP of one) to the others, checked wholly; nothing half-added ever shows.

    If this very model is there already, it stays as it is. Raises UnusableModel, WrongUsage if another of that name
    and version is there, HNSegmenterError if it cannot be written, Cancelled.
    """
    contents = open_source(source)
    with _writing():
        models_folder().mkdir(parents=True, exist_ok=True)
        _remove_left_behind()
        staged = models_folder() / f".{uuid.uuid4().hex}{PART}"
        try:
            staged.mkdir()
            contents.copy(staged, cancel or CancelToken())
            model = read_folder(staged, called=str(source))
            if there := _same_title(model):
                return there
            target = models_folder() / model.name / model.version
            target.parent.mkdir(exist_ok=True)
            try:
                staged.rename(target)
            except OSError:
                if there := _same_title(model):  # another process was faster
                    return there
                raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            _remove_if_empty(models_folder())
    return read_folder(target, verify=False)


def remove(text: str) -> ModelInfo:
    """Remove an added model, NAME@VERSION or, where there is one version alone, NAME; a damaged one too.

    Raises WrongUsage (none of that name, several, or the shipped one), HNSegmenterError.
    """
    shipped = shipped_model()
    named = _named(text, _added())
    if not named and shipped and _named(text, [shipped]):
        raise WrongUsage(f"{text} came with the program and stays: choose another with  hn-segmenter model use NAME.")
    if not named:
        raise WrongUsage(f"There is no model {text!r} on this computer: see  hn-segmenter model list.")
    if len(named) > 1:
        titles = ", ".join(model.title for model in named)
        raise WrongUsage(f"There are several versions of {text} ({titles}): say which is to be removed.")
    model = named[0]
    with _writing():
        gone = models_folder() / f".{uuid.uuid4().hex}{PART}"
        model.folder.rename(gone)  # at once, whatever happens to the rest
        shutil.rmtree(gone)
        _remove_if_empty(model.folder.parent)
    return model


def _added() -> list[ModelInfo]:
    try:
        folders = [folder for name in _folders(models_folder()) for folder in _folders(name)]
    except OSError:  # unreadable: what cannot be read cannot be used
        return []
    models = [_read(folder) for folder in folders]
    models.sort(key=lambda model: _numbers(model.version), reverse=True)
    return sorted(models, key=lambda model: model.name.casefold())


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [item for item in sorted(parent.iterdir()) if item.is_dir() and not item.name.startswith(".")]


def _read(folder: Path) -> ModelInfo:
    name, version = folder.parent.name, folder.name
    try:
        model = read_folder(folder, verify=False, called=f"{name}@{version}")
    except UnusableModel as fault:
        sentence = f"{fault.sentence} Remove it (hn-segmenter model remove {name}@{version}) and add it again."
        return damaged(name, version, folder, sentence)
    if (model.name, model.version) != (name, version):
        sentence = f"The folder {folder} holds {model.title}: remove it and add that model with  hn-segmenter model add"
        return damaged(name, version, folder, sentence)
    return model


def _named(text: str, models: list[ModelInfo]) -> list[ModelInfo]:
    """Of that NAME or NAME@VERSION, the newest version first."""
    name, _, version = text.partition("@")
    found = [model for model in models if model.name == name and version in ("", model.version)]
    return sorted(found, key=lambda model: _numbers(model.version), reverse=True)


def _same_title(model: ModelInfo) -> ModelInfo | None:
    """The model of the same name and version that is there already. Raises WrongUsage if it is another."""
    for other in all_models():
        if (other.name.casefold(), other.version.casefold()) != (model.name.casefold(), model.version.casefold()):
            continue
        if other.fault:
            raise WrongUsage(other.fault)
        if other.digest == model.digest:
            return other
        raise WrongUsage(
            f"Another {other.title} is there already ({other.digest[:19]}, this one is {model.digest[:19]}): give this "
            f"one another version, or remove that one first with  hn-segmenter model remove {other.title}"
        )
    return None


def _numbers(version: str) -> list[tuple[int, str]]:
    """To sort versions: 0.10 is newer than 0.9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|[A-Za-z]+", version)]


def _remove_left_behind() -> None:
    for folder in models_folder().glob(f".*{PART}"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = models_folder()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = f"There is no room for the model in {folder}: free space there, or name another in HNSEG_MODELS."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            sentence = f"Nothing may be written into {folder}: name another folder in HNSEG_MODELS, or ask its owner."
        else:
            sentence = (
                f"The models in {folder} could not be changed ({error.strerror}): "
                "check the disk, or name another folder in HNSEG_MODELS."
            )
        raise HNSegmenterError(sentence) from error
