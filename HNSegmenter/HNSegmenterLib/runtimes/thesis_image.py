"""The thesis's image (repository inesmunoz/hn-segmenter): labelmaps of unknown names become a result of contract 1.

That image writes no result.json and tells no model. Its files' names are matched by the words in them, English or
Spanish; a file that cannot be told keeps its name and gets a warning.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RuntimeFault
from ..grids import same_grid
from ..result import FOUND, NOT_FOUND, Organ, Result
from .images import ImageInfo

_LEFT = {"value": "7771000", "scheme": "SCT", "meaning": "Left"}
_RIGHT = {"value": "24028007", "scheme": "SCT", "meaning": "Right"}


def _code(value: str, meaning: str) -> dict:
    return {"value": value, "scheme": "SCT", "meaning": meaning}


_EYE, _PAROTID = _code("79652003", "Eyeball"), _code("45289007", "Parotid gland")
# Name, label, colour, code, laterality: those of organs.json of contract 1, so that both images look alike.
ORGANS = {
    "Brainstem": (1, (0, 158, 115), _code("119238007", "Brain stem"), None),
    "SpinalCord": (2, (240, 228, 66), _code("2748008", "Spinal cord"), None),
    "Parotid_L": (3, (0, 114, 178), _PAROTID, _LEFT),
    "Parotid_R": (4, (213, 94, 0), _PAROTID, _RIGHT),
    "Eye_L": (5, (86, 180, 233), _EYE, _LEFT),
    "Eye_R": (6, (204, 121, 167), _EYE, _RIGHT),
}
UNKNOWN_COLOR = (128, 128, 128)
SUFFIXES = (".nii.gz", ".nii", ".nrrd")
# Words as they stand in a file's name without accents; the organ first, then the side.
_WORDS = {
    "Brainstem": {"brainstem", "brain stem", "tronco", "troncoencefalico", "bs"},
    "SpinalCord": {"spinalcord", "spinal cord", "spinal", "cord", "medula"},
    "Parotid": {"parotid", "parotida", "parotids", "parotis"},
    "Eye": {"eye", "ojo", "eyeball", "globe"},
}
_SIDES = {
    "L": {"l", "left", "lt", "izq", "izquierdo", "izquierda", "i"},
    "R": {"r", "right", "rt", "der", "derecho", "derecha", "d", "dcho", "dcha"},
}


def tell_organ(stem: str) -> str | None:
    """The TG-263 name that a file's name (without suffix) means, or None if none or several."""
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    words = re.findall(r"[a-z]+", plain.lower())
    words, joined = _split_sides(words), {f"{a} {b}" for a, b in pairwise(words)}
    organs = {organ for organ, known in _WORDS.items() if known & (set(words) | joined)}
    if len(organs) != 1:
        return None
    organ = organs.pop()
    if organ in ORGANS:
        return organ
    sides = {side for side, known in _SIDES.items() if known & set(words)}
    return f"{organ}_{sides.pop()}" if len(sides) == 1 else None


def _split_sides(words: list[str]) -> list[str]:
    """Pull a side out of words written together: lefteye, eyeleft, ojoizquierdo."""
    split: list[str] = []
    for word in words:
        for side in sorted(_SIDES["L"] | _SIDES["R"], key=len, reverse=True):
            if len(side) > 1 and len(word) > len(side) + 1 and (word.startswith(side) or word.endswith(side)):
                split += [word.removeprefix(side).removesuffix(side), side]
                break
        else:
            split.append(word)
    return split


def complete(folder: Path, ct_path: Path, image: ImageInfo, seconds: float) -> Result:
    """Turn the downloaded files of `folder` into `<name>.nii.gz` and a result.json; return its contents.

    A labelmap becomes binary uint8; one that does not lie on the CT's grid is left out, with a warning. Raises
    RuntimeFault if nothing usable is there.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(ct_path))
    reader.ReadImageInformation()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    organs: list[Organ] = []
    warnings = ["The thesis's image tells neither its model nor its version: they cannot be recorded."]
    names = {path: tell_organ(_stem(path)) for path in files}
    for path in files:
        name = names[path]
        if list(names.values()).count(name) > 1:  # two files that claim one organ: neither is believed
            name = None
        labelmap = _read_labelmap(path, reader, warnings)
        path.unlink()
        if labelmap is None:
            continue
        if name is None:
            name = _stem(path)
            warnings.append(f"It cannot be told which organ the labelmap {path.name} means: it keeps that name.")
        organs.append(_organ(name, labelmap, 7 + sum(organ.label > 6 for organ in organs)))
        sitk.WriteImage(labelmap, str(folder / organs[-1].labelmap), useCompression=True)
    if not organs:
        raise RuntimeFault(
            "The thesis's image left no labelmap that lies on the CT: check the image with another series."
        )
    result = Result(
        model={"name": image.reference, "version": "", "digest": image.id},
        organs=sorted(organs, key=lambda organ: organ.label),
        runtime={"engine": "thesis's image"},
        input={"size": list(reader.GetSize()), "spacing_mm": list(reader.GetSpacing())},
        timings_s={"total": seconds},
        warnings=warnings,
    )
    result.write(folder / "result.json")
    return result


def _stem(path: Path) -> str:
    return next((path.name[: -len(end)] for end in SUFFIXES if path.name.lower().endswith(end)), path.name)


def _read_labelmap(path: Path, ct: sitk.ImageFileReader, warnings: list[str]) -> sitk.Image | None:
    """Binary uint8, or None with a warning for a file that is no image or not on the CT's grid."""
    if not path.name.lower().endswith(SUFFIXES):
        warnings.append(f"The file {path.name} is no labelmap and was left out.")
        return None
    try:
        image = sitk.ReadImage(str(path))
        binary = image != 0
    except RuntimeError:
        warnings.append(f"The labelmap {path.name} cannot be read and was left out.")
        return None
    if not same_grid(image, ct):
        warnings.append(f"The labelmap {path.name} does not lie on the CT's grid and was left out.")
        return None
    binary.CopyInformation(image)
    return binary


def _organ(name: str, labelmap: sitk.Image, next_label: int) -> Organ:
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(labelmap)))
    label, color, code, laterality = ORGANS.get(name, (next_label, UNKNOWN_COLOR, None, None))
    return Organ(
        name=name,
        label=label,
        color=color,
        code=code,
        laterality=laterality,
        status=FOUND if voxels else NOT_FOUND,
        voxels=voxels,
        volume_ml=round(voxels * float(np.prod(labelmap.GetSpacing())) / 1000, 3),
        file=f"{name}.nii.gz",
    )
