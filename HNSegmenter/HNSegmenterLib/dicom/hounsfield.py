"""Whether a CT's values are Hounsfield units: by what its headers call them, and by where air and soft tissue lie."""

from __future__ import annotations

import re

import numpy as np

from ..errors import UnusableInput
from .headers import Header

UNITS = {"HU", "HUMOD"}
MEAN_UNITS = {"HOUNSFIELD", "HOUNSFIELDUNIT", "HOUNSFIELDUNITS", "HOUNDSFIELD", "HOUNDSFIELDUNIT", "HOUNDSFIELDUNITS"}
UNSAID = {"", "US", "UNSPECIFIED", "UNKNOWN"}
MOST_SLOPE, MOST_INTERCEPT = 1e3, 1e5  # in use: 1 and -8192 at the most

# Share of voxels (of every 4th slice, 8th row and column) that is air around the patient, and soft tissue, in any CT of
# a head; real ones have over 1 % of each, some blanked outside a region of interest 0.13 % of tissue.
AIR_BELOW_HU, TISSUE_HU, LEAST_SHARE = -500, (-200, 200), 0.001
SHIFT_HU = 1024  # what an intercept that is applied twice, or not at all, is off by (some scanners': 1000)
# Of what is denser than air, so much is soft tissue in any CT: 0.76 to 0.94 in 204 real ones;
# 0.22 to 0.47 of their bones alone.
LEAST_SOFT = 0.6
LEAST_BODY = 0.02  # of all voxels; less is the bones of one
AIR_HU, BELOW_AIR_HU, LEAST_BELOW = (-1124, -876), -1500, 0.1
SAMPLED = 64  # rows and columns looked at
DISC = 0.45  # of the sides: without the corners, which scanners leave void


def unit_problem(text: str) -> str | None:
    """Why a Rescale Type is none of a CT in HU, as the end of a sentence; None where it may be."""
    return (
        None
        if set(_words(text)) <= UNITS | MEAN_UNITS | UNSAID
        else f"is not in Hounsfield units but in {text[:16]}. Choose the CT series in HU."
    )


def unit_warning(headers: tuple[Header, ...], uid: str) -> str | None:
    """What to say of a series whose Rescale Type is not HU, but its values are.
    DICOM calls a CT's HU where it has none."""
    stated = {header.text("RescaleType") for header in headers if "RescaleType" in header.dataset}
    if odd := sorted(re.sub(r"[^A-Za-z ._]", "", text)[:16] or "empty" for text in stated - {"HU", "HU_MOD"}):
        return (
            f"The Rescale Type of series {uid} is {', '.join(odd)} in place of HU: its values look like Hounsfield "
            "units, and were taken as such."
        )
    return None


def check_hu(volume: np.ndarray, headers: tuple[Header, ...], uid: str) -> None:
    """Raise UnusableInput where the values are not those of a CT of a body in HU;
    volume: [k, j, i], nothing cut off."""
    if shift := _shift(volume):
        where, why = (
            ("low", "the stored values seem to be HU already") if shift < 0 else ("high", "it seems to be lost")
        )
        raise UnusableInput(
            f"The values of series {uid} are not those of a CT in Hounsfield units: air and soft tissue lie about "
            f"{SHIFT_HU} too {where}. The Rescale Intercept is {headers[0].number('RescaleIntercept'):g}, and {why}. "
            "Export the original CT images."
        )
    air, tissue, _ = _shares(volume[::4, ::8, ::8])
    if air < LEAST_SHARE or tissue < LEAST_SHARE:
        what = "no air around the patient" if air < LEAST_SHARE else "no soft tissue"
        raise UnusableInput(
            f"The values of series {uid} are not those of a CT in Hounsfield units: from {volume.min()} to "
            f"{volume.max()} with {what}. Export the original CT images."
        )


def _shift(volume: np.ndarray) -> int:
    """How far values are off the HU of a CT where they look like one but for that;
    0 where they do as they are, or never."""
    rows, columns = (max(1, n // SAMPLED) for n in volume.shape[1:])
    sample = volume[::4, ::rows, ::columns].astype(np.int32)
    inner = sample[:, _disc(volume.shape[1:])[::rows, ::columns]]
    air, _, soft = _shares(inner)
    bones_alone = soft < LEAST_SOFT or 1 - air < LEAST_BODY
    if bones_alone and np.mean(inner < BELOW_AIR_HU) >= LEAST_BELOW and _like_a_ct(inner + SHIFT_HU):
        return -SHIFT_HU
    any_air = np.mean((sample >= AIR_HU[0]) & (sample <= AIR_HU[1])) >= LEAST_SHARE  # void corners are none
    return SHIFT_HU if air < LEAST_SHARE and not any_air and _like_a_ct(inner - SHIFT_HU) else 0


def _like_a_ct(values: np.ndarray) -> bool:
    air, tissue, soft = _shares(values)
    return air >= LEAST_SHARE and tissue >= LEAST_SHARE and soft >= LEAST_SOFT


def _shares(values: np.ndarray) -> tuple[float, float, float]:
    """Air and soft tissue of all voxels, and soft tissue of what is denser than air."""
    air, tissue = np.mean(values < AIR_BELOW_HU), np.mean((values >= TISSUE_HU[0]) & (values <= TISSUE_HU[1]))
    return float(air), float(tissue), float(tissue / (1 - air)) if air < 1 else 0.0


def _disc(shape: tuple[int, int]) -> np.ndarray:
    """bool [row, column]: without the corners."""
    rows, columns = ((np.arange(n) - (n - 1) / 2) / n for n in shape)
    return rows[:, None] ** 2 + columns**2 < DISC**2


def _words(text: str) -> list[str]:
    """Each value in capital letters alone."""
    return [re.sub(r"[^A-Z]", "", part.upper()) for part in text.split("\\")]
