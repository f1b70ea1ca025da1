"""Questions of the inbox: the node's password, who approves for which planning systems, why a patient is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import qt
import slicer
from slicer.i18n import tr as _

REVIEWER = "HNSegmenter/Reviewer"
WIDTH = 460


@dataclass(frozen=True)
class Target:
    """A planning system to choose. approval: status that it gets the set with, "" if unknown;
    automatic: it has one unreviewed."""

    name: str
    approval: str = ""
    automatic: bool = False


@dataclass(frozen=True)
class Approval:
    reviewer: str
    destinations: list[str]


def password(user: str, url: str) -> str:
    """Empty if the question was closed."""
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.setObjectName("HNSegmenterNodePassword")
    dialog.setWindowTitle(_("HN Segmenter: DICOM node"))
    dialog.setLabelText(_("Password of {user} at {url} (kept until Slicer is closed):").format(user=user, url=url))
    dialog.setTextEchoMode(qt.QLineEdit.Password)
    accepted = dialog.exec_()
    typed = dialog.textValue() if accepted else ""
    dialog.deleteLater()
    return typed


def approve(patient: str, contours: str, warnings: Sequence[str], targets: Sequence[Target]) -> Approval | None:
    """Who approves, and where it goes; what went there without a review only if that is ticked.

    warnings: sentences on the CT and on what had to be changed when the structure set was written.
    """
    form = _Form("HNSegmenterApprove", _("HN Segmenter: approve and send"), _("Approve and send"))
    form.say(f"<b>{_escaped(patient)}</b><br>{_escaped(contours)}")
    if warnings:
        form.say(_remarks(warnings))
    reviewer = form.reviewer(_("You confirm that you reviewed every contour. Your name:"))
    boxes = {}
    if len(targets) > 1 or any(target.automatic for target in targets):
        form.say(_("Send to:"))
        boxes = {target.name: form.box(f"{target.name}: {_words(target)}", not target.automatic) for target in targets}
    else:
        for target in targets:
            form.say(_("Goes to {name}: {status}.").format(name=_escaped(target.name), status=_words(target)))
    form.say(
        _(
            "The structure set gets an identifier of its own, is kept at the node, and sent from there. "
            "The inbox says when the planning system has confirmed it."
        )
    )

    def chosen() -> list[str]:
        return [target.name for target in targets if target.name not in boxes or boxes[target.name].checked]

    form.acceptIf(lambda: bool(reviewer.text.strip()) and bool(chosen()))
    answer = Approval(_kept(reviewer), chosen()) if form.accepted() else None
    form.close()
    return answer


def agree(patient: str, changes: Sequence[str]) -> bool:
    """Whether it is approved although what is sent differs from what was reviewed."""
    form = _Form("HNSegmenterAgree", _("HN Segmenter: approve and send"), _("Approve all the same"))
    form.say(
        f"<b>{_escaped(patient)}</b><br>" + _("Nothing is sent yet. What is sent will differ from what you reviewed:")
    )
    form.say(_remarks(changes))
    agreed = form.accepted()
    form.close()
    return agreed


def reject(patient: str) -> tuple[str, str] | None:
    """Who rejects, and why."""
    form = _Form("HNSegmenterReject", _("HN Segmenter: reject"), _("Reject"))
    form.say(f"<b>{_escaped(patient)}</b><br>" + _("Nothing is sent to a planning system. The CT stays at the node."))
    reviewer = form.reviewer(_("Your name:"))
    reason = form.line(_("Reason:"), "reasonEdit", "")
    form.acceptIf(lambda: bool(reviewer.text.strip()) and bool(reason.text.strip()))
    answer = (_kept(reviewer), reason.text.strip()) if form.accepted() else None
    form.close()
    return answer


class _Form:
    """A dialog of sentences, lines and boxes, whose first button is there once acceptIf's condition holds."""

    def __init__(self, name: str, title: str, button: str):
        self._dialog = qt.QDialog(slicer.util.mainWindow())
        self._dialog.setObjectName(name)
        self._dialog.setWindowTitle(title)
        self._dialog.setMinimumWidth(WIDTH)
        self._layout = qt.QVBoxLayout(self._dialog)
        self._button = qt.QPushButton(button)
        self._condition = lambda: True

    def say(self, text: str) -> None:
        label = qt.QLabel(text)
        label.setWordWrap(True)
        self._layout.addWidget(label)

    def line(self, label: str, name: str, text: str) -> qt.QLineEdit:
        self.say(label)
        edit = qt.QLineEdit(text)
        edit.setObjectName(name)
        edit.connect("textChanged(QString)", lambda _text: self._update())
        self._layout.addWidget(edit)
        return edit

    def reviewer(self, label: str) -> qt.QLineEdit:
        return self.line(label, "reviewerEdit", slicer.util.settingsValue(REVIEWER, ""))

    def box(self, text: str, checked: bool) -> qt.QCheckBox:
        box = qt.QCheckBox(text)
        box.setChecked(checked)
        box.connect("toggled(bool)", lambda _on: self._update())
        self._layout.addWidget(box)
        return box

    def acceptIf(self, condition) -> None:
        self._condition = condition

    def accepted(self) -> bool:
        buttons = qt.QDialogButtonBox()
        buttons.addButton(self._button, qt.QDialogButtonBox.AcceptRole)
        buttons.addButton(qt.QDialogButtonBox.Cancel)
        buttons.connect("accepted()", self._dialog, "accept()")
        buttons.connect("rejected()", self._dialog, "reject()")
        self._layout.addWidget(buttons)
        self._update()
        return bool(self._dialog.exec_())

    def close(self) -> None:
        self._dialog.deleteLater()

    def _update(self) -> None:
        self._button.setEnabled(self._condition())


def _kept(reviewer: qt.QLineEdit) -> str:
    name = reviewer.text.strip()
    qt.QSettings().setValue(REVIEWER, name)
    return name


def _words(target: Target) -> str:
    words = {
        "UNAPPROVED": _("as UNAPPROVED, so that it can be edited there"),
        "APPROVED": _("as APPROVED, under your name; it is locked there"),
    }
    said = words.get(target.approval, _("as set at the node"))
    return _("{status} (it has the contours unreviewed)").format(status=said) if target.automatic else said


def _remarks(sentences: Sequence[str]) -> str:
    return "<br>".join(f"<b>!</b> {_escaped(sentence)}" for sentence in sentences)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
