"""What a user chooses: a model, or of it some organs; several of these make one structure set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import WrongUsage
from .folder import ModelInfo
from .store import find, is_folder, reference


@dataclass(frozen=True)
class Choice:
    """organs: TG-263 names that were asked for; None: all that the model draws."""

    model: ModelInfo
    organs: tuple[str, ...] | None = None

    def __str__(self) -> str:
        organs = f":{','.join(self.organs)}" if self.organs is not None else ""
        return reference(self.model) + organs


def parse(text: str) -> Choice:
    """NAME, NAME@VERSION or the path of a model folder; then, after a colon, organs with commas between them.

    Raises WrongUsage if there is no such model or it lacks such an organ, UnusableModel if it is damaged.
    """
    place, colon, listed = text.rpartition(":")
    if not colon or is_folder(text) or "/" in listed or "\\" in listed:  # a path of Windows has a colon too
        return Choice(find(text))
    model = find(place)
    organs = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if not organs:
        raise WrongUsage(f"{text!r} names no organs after its colon: write {model.name}:{model.organs[0].name}")
    if unknown := [name for name in organs if name not in model.organ_names]:
        raise WrongUsage(f"{model.title} draws no {', '.join(unknown)}, only {', '.join(model.organ_names)}.")
    return Choice(model, organs)


def shares(choices: Sequence[Choice]) -> list[Choice]:
    """The same models, each with the organs that it gives to the one structure set.

    An organ that was asked for by name comes from the model it was asked of, every other from the first that draws it.
    Raises WrongUsage if a model was given twice or has nothing to give, or an organ was asked of two.
    """
    _check(choices)
    asked = {name.casefold(): choice for choice in choices for name in choice.organs or ()}
    taken: set[str] = set()  # in lower case: two files, or two ROIs, may not differ in that alone
    given = []
    for choice in choices:
        names = choice.organs or choice.model.organ_names
        own = tuple(
            name for name in names if asked.get(name.casefold(), choice) is choice and name.casefold() not in taken
        )
        if not own:
            raise WrongUsage(
                f"{choice.model.title} draws nothing that the other models lack: leave it out, or say which organs "
                f"are to come from it ({choice.model.name}:{choice.model.organs[0].name})."
            )
        taken.update(name.casefold() for name in own)
        given.append(Choice(choice.model, None if set(own) == set(choice.model.organ_names) else own))
    return given


def _check(choices: Sequence[Choice]) -> None:
    digests = [choice.model.digest for choice in choices]
    for choice in choices:
        if digests.count(choice.model.digest) > 1:
            raise WrongUsage(f"{choice.model.title} was given twice: give it once, with all of its organs.")
    asked = [name for choice in choices for name in choice.organs or ()]
    lower = [name.casefold() for name in asked]
    if twice := next((name for name in asked if lower.count(name.casefold()) > 1), None):
        raise WrongUsage(f"{twice} was asked of two models: ask it of one.")
