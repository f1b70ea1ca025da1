"""Checkpoints of nnU-Net, read without running anything that they hold.

A .pth file is a zip with a pickle in it, and a pickle can call any function. Only PyTorch's reader of weights is used,
which knows tensors, numbers and text; nnU-Net's checkpoints need numpy's scalars (of its log) beside these.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from ..errors import Refused
from .networks import build
from .recipe import Recipe

LARGEST = 16 * 1024**3
"""Bytes of a checkpoint, which holds the weights and the optimiser's copies; the largest presets have 2 GB."""
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
ALLOWED = [
    (SCALAR, "numpy._core.multiarray.scalar"),
    (SCALAR, "numpy.core.multiarray.scalar"),  # written with numpy 1
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
]
PREFIXES = ("module.", "_orig_mod.")
"""What PyTorch's wrappers for several GPUs and for compiled networks put before the names."""
TWICE = re.compile(r"^decoder\.encoder\.|\.all_modules\.\d+\.")
"""nnU-Net's modules hold some layers under a second name; the first one is used."""


@dataclass(frozen=True)
class Checkpoint:
    """What segmenting needs of it. mirror_axes: spatial axes (transposed order) that nnU-Net would mirror along."""

    file: Path
    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...]
    weights: dict[str, torch.Tensor]

    @property
    def sha256(self) -> str:
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read(file: Path, called: str) -> Checkpoint:
    """called: what sentences call it. The weights stay in the file until they are used. Raises Refused."""
    _check_archive(file, called)
    try:
        with torch.serialization.safe_globals(ALLOWED):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise Refused(_unpicklable(called, str(error))) from None
    except (RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise Refused(
            f"{called} is no checkpoint of PyTorch ({type(error).__name__}): copy or download it again."
        ) from None
    try:
        axes = state.get("inference_allowed_mirroring_axes") or ()
        found = Checkpoint(
            file,
            str(state["trainer_name"]),
            str(state["init_args"]["configuration"]),
            tuple(sorted({int(axis) for axis in axes})),
            dict(state["network_weights"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(
            f"{called} isn't a checkpoint of nnU-Net v2 ({type(error).__name__}: {error}): it needs network_weights, "
            "trainer_name and init_args. nnU-Net v1 can't be imported."
        ) from None
    if not set(found.mirror_axes) <= {0, 1, 2}:
        raise Refused(f"{called} mirrors along the axes {list(found.mirror_axes)}, which a volume doesn't have.")
    return found


def _check_archive(file: Path, called: str) -> None:
    """Cut, damaged and oversized files, before PyTorch sees them: it doesn't compare the checksums in the file."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST or any(
                entry.compress_type != zipfile.ZIP_STORED for entry in entries
            ):
                raise Refused(f"{called} holds more than {LARGEST >> 30} GiB or is compressed: PyTorch writes no such.")
            if damaged := archive.testzip():
                raise Refused(
                    f"{called} is damaged, {damaged} doesn't match its checksum: copy or download the file again."
                )
    except FileNotFoundError:
        raise Refused(f"{called} is missing: take the whole folder, as nnU-Net wrote it.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(
            f"{called} is cut off or no checkpoint of PyTorch: copy or download it again, and compare its size."
        ) from None
    except OSError as error:
        raise Refused(f"{called} cannot be read ({error.strerror}).") from None


def _unpicklable(called: str, message: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found:
        return (
            f"{called} asks for {found[1]} to be run while it is read, which nnU-Net's checkpoints never need. "
            "Nothing of it was run. Don't trust the file: ask where it comes from."
        )
    return f"{called} can't be read as weights alone, and nothing else of it was run: copy or download it again."


def network(checkpoint: Checkpoint, called: str, recipe: Recipe, outputs: int) -> nn.Module:
    """The recipe's network with the checkpoint's weights, all of them and no others. Raises Refused."""
    weights = _own_names(checkpoint.weights)
    with torch.device("meta"):
        made = build(recipe, outputs)
    expected = made.state_dict()
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]} besides"
        raise Refused(
            f"The weights in {called} don't fit the network of plans.json: it {what} ("
            f"{len(missing)} missing, {len(unknown)} unknown). Plans, dataset.json and weights must be of one training."
        )
    for name, tensor in weights.items():
        if not isinstance(tensor, torch.Tensor) or tensor.shape != expected[name].shape:
            shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise Refused(
                f"The weights in {called} don't fit the network of plans.json: {name} is {shape}, not "
                f"{tuple(expected[name].shape)}. Plans, dataset.json and weights must be of one training."
            )
        if not tensor.isfinite().all():
            raise Refused(f"{called} has weights that are no numbers ({name}): the training went wrong there.")
    made.load_state_dict(
        {name: tensor.to(expected[name].dtype, copy=True) for name, tensor in weights.items()}, assign=True
    )
    return made.eval().requires_grad_(False)


def _own_names(weights: dict) -> dict:
    """Without wrappers' prefixes and second names."""
    stripped = {}
    for name, tensor in weights.items():
        for prefix in PREFIXES:
            name = str(name).removeprefix(prefix)  # noqa: PLW2901 - the same name, shorter
        stripped[name] = tensor
    return {name: tensor for name, tensor in stripped.items() if not TWICE.search(name)}
