"""What an organ's name (TG-263) tells without any measurement. Where it tells nothing, nothing is said."""

from __future__ import annotations

from collections.abc import Iterable

from .ranges import ORGANS

# How names of organs begin that are flesh or bone throughout, on no side open to the air: anatomy.
SOLID = (
    "Brain",
    "Cerebellum",
    "Cochlea",
    "Eye",
    "Femur",
    "Glnd_",
    "Heart",
    "Hippocampus",
    "Kidney",
    "Lens",
    "Liver",
    "Lobe_Temporal",
    "OpticChiasm",
    "OpticNrv",
    "Pancreas",
    "Parotid",
    "Pituitary",
    "Prostate",
    "SpinalCord",
    "Spleen",
)
OUTER = ("Body", "External", "Skin")  # they end where the scan ends
SUFFIXES = {"_L": "left", "_R": "right"}


def is_measured(name: str) -> bool:
    """Whether ranges.json has expert contours of it."""
    return name in ORGANS


def is_solid(name: str) -> bool:
    return name.startswith(SOLID)


def is_outer(name: str) -> bool:
    return name.casefold() in {outer.casefold() for outer in OUTER}


def side_of_name(name: str) -> str | None:
    """ "left", "right" or None."""
    return SUFFIXES.get(name[-2:])


def partner(name: str) -> str | None:
    """Lens_R of Lens_L, None of an organ without a side in its name."""
    return {"left": name[:-2] + "_R", "right": name[:-2] + "_L"}.get(side_of_name(name) or "")


def shown(names: Iterable[str]) -> str:
    """What a scan must show for these organs, all that a model has, to be found."""
    return "the head and neck" if all(map(is_measured, names)) else "the part of the body that this model contours"
