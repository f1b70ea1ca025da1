"""The models of this computer as a list with ticks: which can be chosen, which are, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import HNSegmenterError, WrongUsage
from .choice import Choice, parse, shares
from .folder import ModelInfo


@dataclass(frozen=True)
class Line:
    """A model of the list. organs: those that were asked of it by name, None for all that it draws."""

    model: ModelInfo
    organs: tuple[str, ...] | None = None

    @property
    def usable(self) -> bool:
        return not self.model.fault

    @property
    def choice(self) -> Choice:
        return Choice(self.model, self.organs)


class Ticks:
    """lines: the models given, then those that were chosen by their folder's path; missing: a sentence for each that
    was chosen and cannot be used.

    The first of the ticked models draws all of its organs, the next one what that lacks (choice.shares).
    """

    def __init__(self, models: Sequence[ModelInfo], chosen: Sequence[str] = ()):
        """chosen: choices as text, in their order; without any, the model that came with the program is ticked."""
        self.lines = [Line(model) for model in models]
        self.missing: list[str] = []
        self._ticked: list[int] = []
        for text in chosen:
            try:
                self._choose(parse(text))
            except HNSegmenterError as fault:
                self.missing.append(fault.sentence)
        if not chosen:
            self._ticked = [number for number, line in enumerate(self.lines) if line.model.shipped and line.usable]

    def is_ticked(self, number: int) -> bool:
        return number in self._ticked

    def tick(self, number: int, on: bool) -> None:
        """A model that is ticked anew adds what the others lack; one that would have nothing to add comes first, so
        that its organs are its own: who ticks a model of the parotid glands beside one of all organs wants these."""
        others = [other for other in self._ticked if other != number]
        self._ticked = others
        if not on or not self.lines[number].usable:
            return
        self.lines[number] = replace(self.lines[number], organs=None)
        for order in ([*others, number], [number, *others]):
            self._ticked = order
            if self.fault is None:
                return
        self._ticked = [*others, number]

    @property
    def choices(self) -> list[Choice]:
        """Those that are ticked, in the order in which they give their organs."""
        return [self.lines[number].choice for number in self._ticked]

    @property
    def texts(self) -> list[str]:
        """For `segment --model` and the scene: each with its version."""
        return [str(choice) for choice in self.choices]

    @property
    def kept(self) -> list[str]:
        """For the settings: none for the whole model that came with the program, which the next release may replace."""
        choices = self.choices
        return [] if [(choice.model.shipped, choice.organs) for choice in choices] == [(True, None)] else self.texts

    def shares(self) -> list[Choice]:
        """Which organs each model gives. Raises WrongUsage where one has nothing to give."""
        return shares(self.choices)

    @property
    def fault(self) -> str | None:
        """Why they do not go together, if they do not."""
        try:
            self.shares()
        except WrongUsage as fault:
            return fault.sentence
        return None

    def _choose(self, choice: Choice) -> None:
        folders = [line.model.folder for line in self.lines]
        if choice.model.folder not in folders:
            self.lines.append(Line(choice.model))
            folders.append(choice.model.folder)
        number = folders.index(choice.model.folder)
        self.lines[number] = replace(self.lines[number], organs=choice.organs)
        if number not in self._ticked:
            self._ticked.append(number)
