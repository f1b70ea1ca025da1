"""A collection on disk, as `hn_training adapt` takes it: <patient>/data.nii.gz, a labelmap, index.json, adapt.toml.

Nothing in it says who a patient is or when the scan was made: patients are numbered, images have new headers, and
organs bear TG-263 names. The pixels stay as they are.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...checks.ranges import ORGANS
from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...events import Emit, Event, ignore
from ...result import write_json
from ...staging import move_in, staging
from .adapt_settings import adapt_toml
from .case import Case, LeftOut, Origin

CT, PATIENTS, INDEX, LABELS, SETTINGS = "data.nii.gz", "patients", "index.json", "labels.json", "adapt.toml"
_MOST_LABELS = np.iinfo(np.uint8).max


@dataclass
class Collected:
    """names: of the patients, with where they come from; labels: value of each organ; left_out: with the reason."""

    names: dict[str, Origin] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[Origin, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def collect(
    found: Iterable[tuple[Origin, Case | LeftOut]],
    out: Path,
    hand: str,
    *,
    total: int = 0,
    only: str | None = None,
    despite_checks: bool = False,
    key: Path | None = None,
    emit: Emit = ignore,
) -> Collected:
    """Write all cases that are sound into the new folder out, all of them or, on a failure, nothing.

    hand: name of the labelmap; only: case.EDITED or UNTOUCHED; key: a file to write that says which patient is which.
    Raises WrongUsage (out or key cannot be used), UnusableInput (nobody is left), HNSegmenterError (disk full).
    """
    _check_places(out, key)
    collected = Collected(labels={name: value for value, name in enumerate(ORGANS, start=1)})
    index: dict[str, dict] = {}
    with staging(out, uuid.uuid4().hex, "collection") as staged:
        staged.chmod(0o700)
        for number, (origin, case) in enumerate(found, start=1):
            try:
                if isinstance(case, LeftOut):
                    raise case
                case.require(only)
                if not despite_checks:
                    case.require_sound()
            except LeftOut as reason:
                collected.left_out.append((origin, reason.sentence))
                continue
            finally:
                emit(Event("progress", "collect", min(number / total, 1.0) if total else None))
            name = f"pt_{len(collected.names) + 1:04d}"
            _write(case, staged / PATIENTS / name, hand, collected.labels)
            index[name], collected.names[name] = case.entry(), origin
            for organ in case.organs:
                collected.counts[organ] = collected.counts.get(organ, 0) + 1
        if not index:
            raise UnusableInput(_nobody(collected.left_out))
        collected.labels = {name: value for name, value in collected.labels.items() if name in collected.counts}
        write_json(staged / INDEX, index)
        write_json(staged / LABELS, {str(value): name for name, value in collected.labels.items()})
        (staged / SETTINGS).write_text(adapt_toml(PATIENTS, INDEX, hand, collected.labels), encoding="utf-8")
        if key is not None:
            _write_key(key, collected.names)
        try:
            out.chmod(0o700)
            move_in(staged, out, [PATIENTS, INDEX, LABELS, SETTINGS])
        except BaseException:
            if key is not None:
                key.unlink(missing_ok=True)
            raise
    return collected


def _check_places(out: Path, key: Path | None) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WrongUsage(f"{out} is not empty: give a new folder for the collection.")
    if key is not None and key.absolute().resolve().is_relative_to(out.absolute().resolve()):
        raise WrongUsage("The key says who the patients are: put it anywhere but into the collection.")
    if key is not None and key.exists():
        raise WrongUsage(f"{key} exists: give a new file for the key.")


def _write(case: Case, folder: Path, hand: str, labels: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    for name in sorted(case.organs):
        labels.setdefault(name, len(labels) + 1)
    if len(labels) > _MOST_LABELS:
        raise HNSegmenterError(f"There are more than {_MOST_LABELS} organs: collect fewer.")
    _write_image(sitk.GetArrayFromImage(case.image), case.image, folder / CT)
    _write_image(labelled(case.organs, labels), case.image, folder / f"{hand}.nii.gz")


def labelled(organs: Mapping[str, np.ndarray], labels: Mapping[str, int]) -> np.ndarray:
    """uint8 [k, j, i]; where organs overlap, the smaller one has the voxel (a lens, in its eye)."""
    values = np.zeros(next(iter(organs.values())).shape, np.uint8)
    for name in sorted(organs, key=lambda organ: -int(np.count_nonzero(organs[organ]))):
        values[organs[name]] = labels[name]
    return values


def _write_image(values: np.ndarray, grid: sitk.Image, path: Path) -> None:
    """With the grid's spacing and direction, and the first voxel at 0: where the couch stood belongs to one scan."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(grid.GetSpacing())
    image.SetDirection(grid.GetDirection())
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise HNSegmenterError("The collection could not be written: is the disk full?") from error


def _write_key(key: Path, names: Mapping[str, Origin]) -> None:
    """Readable by this user alone, and never in place of another file."""
    values = {name: {"series_uid": origin.series_uid, "structure_set": origin.structure_set}
              for name, origin in names.items()}  # fmt: skip
    try:
        file = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=2)
    except OSError as error:
        raise HNSegmenterError(f"The key {key} could not be written ({error.strerror}): nothing was kept.") from error


def _nobody(left_out: list[tuple[Origin, str]]) -> str:
    if not left_out:
        return "There is nobody to collect: no approved patient fits."
    reasons = dict.fromkeys(reason for _, reason in left_out)
    more = f" And {len(reasons) - 3} other reasons." if len(reasons) > 3 else ""
    return f"Nobody is left to collect, of {len(left_out)}: {' '.join(list(reasons)[:3])}{more}"
