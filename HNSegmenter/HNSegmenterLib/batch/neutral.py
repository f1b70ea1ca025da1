"""What may be said of a series everywhere: sentences without paths, file names and descriptions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LINK = "{:06d}.dcm"
LINKED = re.compile(r"\d{6}\.dcm")


def link(files: Iterable[str], folder: Path) -> list[Path]:
    """Make the new folder, for this user alone, and in it a link to each file under a name that says nothing: so no
    sentence can name a patient's file. Where the system allows no links, hard ones, else copies. Raises OSError."""
    folder.mkdir(mode=0o700)
    links = []
    for number, file in enumerate(files, 1):
        links.append(folder / LINK.format(number))
        _link(Path(file).absolute(), links[-1])
    return links


def neutral(sentence: str, folder: Path, sop_uids: Mapping[str, str]) -> str:
    """A sentence of the pipeline on files in that folder of links. sop_uids: name of a link -> its SOP Instance UID.

    The series' description, which stands in quotes, goes too.
    """
    sentence = re.sub(r' ".*"', "", sentence, flags=re.DOTALL)
    for place in (f" in {folder}", f"{folder}{os.sep}", f"{folder}: ", f"{folder} "):
        sentence = sentence.replace(place, "")
    sentence = LINKED.sub(lambda found: _image(sop_uids.get(found[0], "")), sentence)
    return sentence[:1].upper() + sentence[1:]


def _image(sop_uid: str) -> str:
    return f"image {sop_uid}" if sop_uid else "an image"


def _link(file: Path, place: Path) -> None:
    try:
        place.symlink_to(file)
    except OSError:
        try:
            place.hardlink_to(file)
        except OSError:
            import shutil

            shutil.copyfile(file, place)
