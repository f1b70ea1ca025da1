"""The models in section 2: which of them draw, what each draws, and others brought in or taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import qt
from slicer.i18n import tr as _

from HNSegmenterLib import models
from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.models.ticks import Line, Ticks
from HNSegmenterLib.settings import Settings

from . import dialogs, packages
from .words import names, wrapped

MOST_LINES = 5  # then the list scrolls
NAMED = 8  # organs of a model in the line below the list; the tool tip has all


class ModelBox:
    """remembered() are the scene's choices as text, None without a scene, and remember(texts) keeps them there;
    onChange() follows a tick; run(purpose, command, said) starts a command, and said(result) is the sentence at its
    end."""

    def __init__(self, ui, logic, remembered: Callable, remember: Callable, onChange: Callable, run: Callable):
        self._ui, self._logic, self._onChange, self._run = ui, logic, onChange, run
        self._remembered, self._remember = remembered, remember
        self._followed: list[str] = []
        self._ticks = Ticks([])
        self._said: list[str] = []
        ui.modelList.connect("itemChanged(QListWidgetItem*)", self._onTicked)
        ui.modelList.connect("currentRowChanged(int)", lambda _row: self._showWords())
        ui.addModelButton.connect("clicked()", self.onAdd)
        ui.removeModelButton.connect("clicked()", self.onRemove)
        self._running = False
        self.refresh()

    @property
    def fault(self) -> str | None:
        """Why nothing can be segmented with what is ticked."""
        return self._ticks.fault if self._ticks.choices else _("Tick a model first.")

    def options(self) -> list[str]:
        """Choices for the child; none where it finds them by itself, or takes what the Docker image brings."""
        return [] if self._ticks.kept == self._settings().models == [] else self._ticks.texts

    def segmenting(self) -> None:
        """The scene remembers what its contours are drawn with."""
        self._keepInScene()

    def update(self, running: bool) -> None:
        """A run began or ended, or another scene is there."""
        self._running = running
        remembered = self._remembered()
        if remembered is not None and list(remembered) != self._followed:
            self.refresh()
        self._showButtons()

    def refresh(self) -> None:
        """The models as they are now on this computer; ticked is what the scene remembers, else what was kept."""
        remembered, kept = list(self._remembered() or []), self._settings().models
        self._followed = remembered
        there = installed()
        self._said = []
        for chosen in (remembered, kept) if remembered else (kept,):
            try:
                self._ticks = Ticks(there, chosen)
            except ModuleNotFoundError:  # platformdirs: the shipped model is all there is
                self._ticks = Ticks(there)
            self._said += self._ticks.missing
            if not self._ticks.missing:
                break
        self._show()

    def onAdd(self) -> None:
        folder, archive = _("From a folder..."), _("From a ZIP file...")
        answer = dialogs.ask(
            "HNSegmenterAddModel",
            _("HN Segmenter: add a model"),
            _("Another network is added from its folder, or from a ZIP file of it:"),
            (folder, archive),
            _(
                "It holds network.onnx, model.json, organs.json and SHA256SUMS. An nnU-Net as it was trained is made "
                "into that by  hn_training import-nnunet  first (see the documentation)."
            ),
        )
        if answer == folder:
            self.add(dialogs.folder(_("Folder of a model")))
        elif answer == archive:
            self.add(dialogs.file(_("ZIP file of a model"), _("Model") + " (*.zip);;* (*)"))

    def add(self, source: str) -> None:
        """Copy a model to those of this computer, in a child process that checks it. An empty path adds nothing."""
        if source:
            self._run(packages.MODELS, ["model", "add", source], self._added)

    def _added(self, result: dict) -> str:
        self.refresh()
        title = f"{result.get('name')} {result.get('version')}"
        if not result.get("added"):
            return _("{model} is there already: nothing was changed.").format(model=title)
        return _("Added {model}: tick it to use it.").format(model=title)

    def onRemove(self) -> None:
        line = self._current()
        if line is None:
            return
        model, remove = line.model, _("Remove it")
        answer = dialogs.ask(
            "HNSegmenterRemoveModel",
            _("HN Segmenter: remove a model"),
            _("Remove {model} from this computer?").format(model=_title(model)),
            (remove,),
            _("Contours that it drew stay as they are. Its folder or ZIP file is needed to add it again."),
        )
        if answer == remove:
            try:
                models.remove(model.title)
            except HNSegmenterError as fault:
                dialogs.show_fault(_("HN Segmenter: remove a model"), fault.sentence)
            self.refresh()
            self._onChange()

    def _onTicked(self, item) -> None:
        number = self._ui.modelList.row(item)
        self._ticks.tick(number, item.checkState() == qt.Qt.Checked)
        self._said = []
        if self._ticks.choices:
            self._keep()
            self._keepInScene()
        self._show()
        self._onChange()

    def _keep(self) -> None:
        """For this computer."""
        try:
            replace(self._logic.settings(), models=self._ticks.kept).save()
        except HNSegmenterError as fault:
            self._said = [fault.sentence]
        except OSError as error:
            self._said = [_("The choice could not be kept: {reason}.").format(reason=error.strerror)]
        except ModuleNotFoundError:  # platformdirs: there is nothing but the shipped model to choose
            pass

    def _keepInScene(self) -> None:
        self._followed = self._ticks.texts
        self._remember(self._followed)

    def _settings(self) -> Settings:
        try:
            return self._logic.settings()
        except HNSegmenterError:  # said at Segment, where it must be mended
            return Settings()

    def _current(self) -> Line | None:
        row = self._ui.modelList.currentRow
        return self._ticks.lines[row] if 0 <= row < len(self._ticks.lines) else None

    def _show(self) -> None:
        view = self._ui.modelList
        row = view.currentRow
        view.blockSignals(True)
        view.clear()
        for number, line in enumerate(self._ticks.lines):
            view.addItem("")  # the list makes the item, and owns it
            _fill(view.item(number), line, self._ticks.is_ticked(number))
        view.setCurrentRow(row if row < view.count else -1)
        view.blockSignals(False)
        if view.count:
            view.setFixedHeight(min(view.count, MOST_LINES) * view.sizeHintForRow(0) + 2 * view.frameWidth + 2)
        self._showWords()

    def _showWords(self) -> None:
        said, everything = self._words()
        self._ui.modelLabel.text = "\n".join(said)
        self._ui.modelLabel.toolTip = "\n".join(everything)
        self._ui.modelLabel.setVisible(bool(said))
        self._showButtons()

    def _words(self) -> tuple[list[str], list[str]]:
        """What the ticked models draw, in short and in full; nothing where the shipped one is all there is."""
        current = self._current()
        damaged = [current.model.fault] if current is not None and not current.usable else []
        faults = [f"! {sentence}" for sentence in dict.fromkeys([*self._said, *damaged])]
        if self.fault is not None:
            return [*faults, f"! {self.fault}"], []
        if len(self._ticks.lines) == 1 and not self._ticks.lines[0].organs:
            return faults, []
        shares = self._ticks.shares()
        organs = [list(share.organs or share.model.organ_names) for share in shares]
        lines = (
            [f"{_title(share.model)}: {{organs}}" for share in shares] if len(shares) > 1 else [_("Draws {organs}.")]
        )
        pairs = list(zip(lines, organs, strict=True))
        short = [line.format(organs=names(own, NAMED)) for line, own in pairs]
        return [*faults, *short], [wrapped(line.format(organs=", ".join(own))) for line, own in pairs]

    def _showButtons(self) -> None:
        line = self._current()
        added = any(not one.model.shipped for one in self._ticks.lines)
        ticked = line is not None and self._ticks.is_ticked(self._ui.modelList.currentRow)
        own = line is not None and not line.model.shipped and _is_in_store(line.model)
        self._ui.modelList.enabled = self._ui.addModelButton.enabled = not self._running
        self._ui.removeModelButton.setVisible(added)
        self._ui.removeModelButton.enabled = own and not ticked and not self._running
        self._ui.removeModelButton.toolTip = (
            _("Remove the chosen model from this computer.")
            if self._ui.removeModelButton.enabled
            else _("Choose a line of the list that is not ticked, of a model that was added here.")
        )


def installed() -> list[models.ModelInfo]:
    """The models of this computer; before the first packages are installed, that which came with the program."""
    try:
        return models.all_models()
    except ModuleNotFoundError:  # platformdirs
        shipped = models.shipped_model()
        return [shipped] if shipped is not None else []


def _fill(item: qt.QListWidgetItem, line: Line, ticked: bool) -> None:
    model, organs = line.model, line.organs or line.model.organ_names
    if not line.usable:
        text, tip = _("{model}: damaged").format(model=_title(model)), model.fault
    elif len(organs) == 1:
        text, tip = _("{model}: {organ}").format(model=_title(model), organ=organs[0]), _tip(line)
    else:
        text, tip = _("{model}: {number} organs").format(model=_title(model), number=len(organs)), _tip(line)
    item.setText(text)
    item.setToolTip(wrapped(tip))
    if line.usable:
        item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
    else:  # it can still be removed
        item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
        item.setForeground(qt.QBrush(qt.QColor(140, 140, 140)))


def _tip(line: Line) -> str:
    organs = ", ".join(line.organs or line.model.organ_names)
    return _("Draws {organs}.\n{digest}").format(organs=organs, digest=line.model.digest)


def _title(model: models.ModelInfo) -> str:
    return f"{model.name} {model.version}".strip()


def _is_in_store(model: models.ModelInfo) -> bool:
    return Path(model.folder).parents[1] == models.models_folder()
