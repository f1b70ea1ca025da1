"""plans.json and dataset.json of an nnU-Net, as far as segmenting needs them; what can't be done is refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from ..errors import Refused
from .recipe import Recipe, recipe

SUPPORTED = ("3d_fullres", "3d_lowres")
LARGEST_JSON = 64 * 1024**2
"""Bytes; nnU-Net's are some kilobytes."""
RESAMPLING = "resample_data_or_seg_to_shape"
ANISOTROPY = 3.0
"""nnU-Net's default: axes are resampled apart if the coarsest spacing is more than this times the finest."""
REORIENTS = ("NibabelIOWithReorient", "SimpleITKIOWithReorient")
"""Readers that turn every image to RAS."""


@dataclass(frozen=True)
class Plan:
    """One configuration. transpose: of arrays [z, y, x]; spacing_mm (mm) and patch (voxels): in the transposed order.

    hu_clip, hu_shift, hu_scale: CTNormalization's percentiles, mean and standard deviation (HU); reader: the class
    that nnU-Net read the images with; order, order_z, separate_z, anisotropy: of the image's resampling and, logits_,
    of the logits'.
    """

    dataset: str
    plans: str
    configuration: str
    reader: str
    transpose: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    hu_clip: tuple[float, float]
    hu_shift: float
    hu_scale: float
    order: int
    order_z: int
    logits_order: int
    logits_order_z: int
    separate_z: bool | None
    anisotropy: float
    recipe: Recipe

    @property
    def axes(self) -> str:
        """The axes of the images that it was trained on, as far as the reader tells."""
        return "RAS" if self.reader in REORIENTS else "LPS"


def read_json(path: Path) -> dict:
    """Raises Refused for what is missing, too large or no JSON object."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise Refused(f"{path.name} is {path.stat().st_size:,} bytes long: nnU-Net writes no such file.")
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Refused(f"{path.name} is missing: take the whole folder, as nnU-Net wrote it.") from None
    except OSError as error:
        raise Refused(f"{path.name} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path.name} is no valid JSON ({error}): copy or download it again.") from None
    if not isinstance(values, dict):
        raise Refused(f"{path.name} holds no JSON object: copy or download it again.")
    return values


def supported(configuration: str) -> bool:
    """Whether its name is that of a whole 3D network: also 3d_fullres_high and the like, which inherit."""
    return configuration.startswith(SUPPORTED) and "cascade" not in configuration


def read_plan(plans: dict, dataset: dict, configuration: str) -> Plan:
    """Raises Refused."""
    try:
        return _read(plans, dataset, configuration)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(
            f"plans.json isn't as nnU-Net writes it ({type(error).__name__}: {error}): take the folder as it was."
        ) from None


def _read(plans: dict, dataset: dict, configuration: str) -> Plan:
    chosen = _configuration(plans, configuration)
    if chosen.get("previous_stage") is not None or "cascade" in configuration:
        raise Refused(
            f"{configuration} is the second stage of a cascade, which needs the first one's result: cascades can't be "
            "imported. Import 3d_fullres or 3d_lowres."
        )
    patch = tuple(chosen["patch_size"])
    if len(patch) == 2:
        raise Refused(f"{configuration} is a 2D network: only 3D ones (3d_fullres, 3d_lowres) can be imported.")
    if not supported(configuration):
        raise Refused(f"The configuration {configuration} can't be imported: only {' and '.join(SUPPORTED)} can.")
    _check_channels(dataset, chosen)
    _one_of("preprocessor", chosen.get("preprocessor_name", "DefaultPreprocessor"), "DefaultPreprocessor")
    _one_of("label manager", plans.get("label_manager", "LabelManager"), "LabelManager")
    image, logits = (_resampling(chosen, of) for of in ("data", "probabilities"))
    if (image["separate_z"], image["anisotropy"]) != (logits["separate_z"], logits["anisotropy"]):
        raise Refused("plans.json resamples image and logits by different rules of anisotropy: it can't be imported.")
    clip, shift, scale = _intensities(plans)
    made = recipe(chosen)
    if any(size % multiple for size, multiple in zip(patch, made.multiple)):
        raise Refused(
            f"The patch {list(patch)} can't be divided by the network's strides {list(made.multiple)}: plans.json and "
            "network don't belong together."
        )
    return Plan(
        dataset=_text(plans["dataset_name"]),
        plans=_text(plans["plans_name"]),
        configuration=configuration,
        reader=_text(plans.get("image_reader_writer", "SimpleITKIO")),
        transpose=_transpose(plans["transpose_forward"]),
        spacing_mm=tuple(float(value) for value in _three("spacing", chosen["spacing"], (int, float))),
        patch=_three("patch_size", patch, int),
        hu_clip=clip,
        hu_shift=shift,
        hu_scale=scale,
        order=image["order"],
        order_z=image["order_z"],
        logits_order=logits["order"],
        logits_order_z=logits["order_z"],
        separate_z=image["separate_z"],
        anisotropy=image["anisotropy"],
        recipe=made,
    )


def _configuration(plans: dict, name: str) -> dict:
    """With what it inherits."""
    known = plans["configurations"]
    merged: dict = {}
    seen: list[str] = []
    while True:
        if name not in known:
            raise Refused(f"plans.json has no configuration {name!r}; it has {', '.join(known)}.")
        if name in seen:
            raise Refused(f"In plans.json the configuration {name} inherits from itself.")
        seen.append(name)
        merged = known[name] | merged
        if "inherits_from" not in known[name]:
            return merged
        name = known[name]["inherits_from"]


def _check_channels(dataset: dict, chosen: dict) -> None:
    channels = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise Refused("dataset.json doesn't name the network's channels: take the file that nnU-Net wrote.")
    if len(channels) != 1:
        raise Refused(
            f"The network takes {len(channels)} channels ({', '.join(map(str, channels.values()))}): only networks of "
            "one CT can be imported."
        )
    (channel,) = channels.values()
    schemes = chosen["normalization_schemes"]
    if str(channel).casefold() != "ct":
        raise Refused(f"The network's channel is {channel!r}, not CT: only networks of one CT can be imported.")
    if list(schemes) != ["CTNormalization"]:
        raise Refused(f"The images were normalised by {', '.join(map(str, schemes))}: only CTNormalization is known.")


def _one_of(what: str, value: object, known: str) -> None:
    if value != known:
        raise Refused(f"plans.json names the {what} {value}: only nnU-Net's {known} is known, so it can't be imported.")


def _resampling(chosen: dict, of: str) -> dict:
    name, options = chosen[f"resampling_fn_{of}"], dict(chosen[f"resampling_fn_{of}_kwargs"])
    if name != RESAMPLING:
        raise Refused(f"plans.json resamples by {name}: only nnU-Net's {RESAMPLING} is known, so it can't be imported.")
    found = {
        "order": options.pop("order", 3),
        "order_z": options.pop("order_z", 0),
        "separate_z": options.pop("force_separate_z", False),
        "anisotropy": options.pop("separate_z_anisotropy_threshold", ANISOTROPY),
    }
    if options.pop("is_seg", False) or options:
        raise Refused(f"plans.json resamples with {', '.join(options) or 'is_seg'}, which is unknown here.")
    orders = (found["order"], found["order_z"])
    if not all(isinstance(order, int) and 0 <= order <= 5 for order in orders) or not _positive(found["anisotropy"]):
        raise Refused(f"plans.json resamples with the orders {orders}, which no spline has.")
    if found["separate_z"] not in (None, True, False):
        raise Refused(f"plans.json has force_separate_z = {found['separate_z']!r}: true, false or null is needed.")
    return found


def _intensities(plans: dict) -> tuple[tuple[float, float], float, float]:
    """(lowest, highest) HU, mean and standard deviation; older plans say "modality" instead of "channel"."""
    key = "foreground_intensity_properties_per_channel"
    values = plans.get(key) or plans["foreground_intensity_properties_by_modality"]
    of = values["0"]
    low, high, mean, deviation = (float(of[name]) for name in ("percentile_00_5", "percentile_99_5", "mean", "std"))
    if not all(map(math.isfinite, (low, high, mean))) or not low < high or not _positive(deviation):
        raise Refused(f"plans.json has intensities that no CT has (HU {low} to {high}, deviation {deviation}).")
    return (low, high), mean, max(deviation, 1e-8)


def _transpose(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or sorted(value) != [0, 1, 2]:
        raise Refused(f"plans.json has transpose_forward = {value!r}, which is no order of three axes.")
    return tuple(value)


def _text(value: object) -> str:
    """A name, as it may be shown and go into results."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 128:
        raise Refused(f"plans.json has the name {str(value)[:60]!r}, which is none.")
    return value


def _three(key: str, value, kind) -> tuple:
    if len(value) != 3 or not all(isinstance(part, kind) and _positive(part) for part in value):
        raise Refused(f"plans.json has {key} = {list(value)}: three numbers above 0 are needed.")
    return tuple(value)


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
