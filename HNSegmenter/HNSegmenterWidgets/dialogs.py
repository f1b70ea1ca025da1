"""Questions to the user. Each returns the answer, or None if the question was closed."""

from __future__ import annotations

from collections.abc import Sequence

import qt
import slicer
from slicer.i18n import tr as _

WIDTH = 560  # pixels of a dialog with a list, whose lines name folders


def ask(name: str, title: str, text: str, answers: Sequence[str], detail: str = "") -> str | None:
    """One button an answer, and Cancel. name is the dialog's objectName; the first answer is the default."""
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.setObjectName(name)
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(title)
    box.setText(text)
    if detail:
        box.setInformativeText(detail)
    buttons = [box.addButton(answer, qt.QMessageBox.ActionRole) for answer in answers]
    box.addButton(qt.QMessageBox.Cancel)
    box.setDefaultButton(buttons[0])
    box.exec_()
    clicked = box.clickedButton()
    box.deleteLater()
    return next((answer for button, answer in zip(buttons, answers, strict=True) if button == clicked), None)


def choose(name: str, title: str, text: str, items: Sequence[str]) -> int | None:
    """The index of the item chosen from a list."""
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.setObjectName(name)
    dialog.setWindowTitle(title)
    dialog.setLabelText(text)
    dialog.setOption(qt.QInputDialog.UseListViewForComboBoxItems)
    dialog.setComboBoxItems(list(items))
    dialog.resize(WIDTH, dialog.sizeHint.height())
    accepted = dialog.exec_()
    chosen = dialog.textValue()
    dialog.deleteLater()
    return list(items).index(chosen) if accepted and chosen in items else None


def folder(title: str, start: str = "") -> str:
    """Empty if none was chosen."""
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)


def file(title: str, patterns: str, start: str = "") -> str:
    """Empty if none was chosen."""
    chosen = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, start, patterns)
    return chosen[0] if isinstance(chosen, (tuple, list)) else chosen


def show_fault(title: str, sentence: str) -> None:
    slicer.util.errorDisplay(sentence, windowTitle=title)


def confirm_close_scene() -> bool | None:
    """Whether to close the scene before a CT is loaded: True, False (load beside), None (do not load)."""
    close, keep = _("Close it and load"), _("Load into it")
    answer = ask(
        "HNSegmenterCloseScene",
        _("HN Segmenter: load"),
        _("The scene holds data that were not saved. Close it before the CT is loaded?"),
        (close, keep),
        _("Closing discards what was not saved."),
    )
    return {close: True, keep: False}.get(answer)


def tell(label: qt.QLabel, text: str) -> None:
    """Show a text where the user sees it: the label takes no room when empty, and is scrolled into view otherwise."""
    label.text = text
    label.setVisible(bool(text))
    if text:
        timer = qt.QTimer(label)  # ends with the label, should the window be closed meanwhile
        timer.setSingleShot(True)
        timer.connect("timeout()", lambda: _reveal(label))
        timer.connect("timeout()", timer, "deleteLater()")
        timer.start(0)  # when the label has its place


def paint() -> None:
    """Let the window paint during long work, without taking clicks."""
    slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)


def _reveal(widget: qt.QWidget) -> None:
    area = widget.parentWidget()
    while area is not None and area.className() != "QScrollArea":
        area = area.parentWidget()
    if area is not None:
        area.ensureWidgetVisible(widget)
