"""Section 4: patients whose contours wait at the DICOM node for their review."""

from __future__ import annotations

import time
from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import HNSegmenterError

from .. import dialogs
from .access import NodeAccess
from .lights import Lights
from .review import InboxReview
from .table import WAITING, InboxTable, deliveries, patient_name, state_word

EVERY_MS, FOLLOWING_MS = 60_000, 4_000
PATIENCE_S = 60.0  # after which a worker that has not taken a decision up is spoken of
OVER = ("sent", "failed", "rejected", "superseded")


class InboxSection:
    """clearScene() is LoadSection's; segmentation() the contours shown; onOpened(volume, contours or None)."""

    def __init__(self, ui, logic, clearScene: Callable, segmentation: Callable, onOpened: Callable):
        self._ui, self._segmentation = ui, segmentation
        self._access = NodeAccess()
        self._lights = Lights(ui.inboxLights, ui.inboxLightFaults, self._access)
        self._table = InboxTable(ui.inboxTable, self.update)
        self._review = InboxReview(ui, logic, self._access, clearScene, onOpened, self._decided, self.update)
        self._listing, self._listed = False, False
        self._followed: dict[str, tuple[str, float]] = {}  # series -> job, since when
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._onTimer)
        for text, everything in ((_("Waiting for review"), False), (_("All patients"), True)):
            ui.inboxFilterBox.addItem(text, everything)
        ui.inboxConfigureButton.connect("clicked()", self.onConfigure)
        ui.inboxRefreshButton.connect("clicked()", self.onRefresh)
        ui.inboxOpenButton.connect("clicked()", lambda: self._withChosen(self._review.open))
        ui.inboxRejectButton.connect("clicked()", lambda: self._withChosen(self._review.reject))
        ui.inboxApproveButton.connect("clicked()", self.onApprove)
        ui.inboxCancelButton.connect("clicked()", self._review.cancel)
        ui.inboxTable.connect("cellDoubleClicked(int,int)", lambda _row, _column: self._onDoubleClick())
        ui.inboxFilterBox.connect("currentIndexChanged(int)", lambda index: self._table.showAll(bool(index)))
        ui.inboxSection.connect("contentsCollapsed(bool)", self._onCollapsed)
        self._showSetup()
        ui.inboxSection.collapsed = self._access.settings is None

    def enter(self) -> None:
        """The module is shown: who waits is looked up, if nothing has to be asked for it."""
        if not self._listed and not self._ui.inboxSection.collapsed and self._access.silent:
            self.onRefresh()

    def close(self) -> None:
        self._timer.stop()
        self._access.close()
        self._review.close()

    def stopImport(self) -> None:
        self._review.stopImport()

    def onConfigure(self) -> None:
        path = dialogs.file(_("Configuration of the DICOM node"), "service.toml (*.toml)", self._access.path)
        if path:
            self.configure(path)

    def configure(self, path: str) -> None:
        """Use that service.toml from now on, and look what is there."""
        try:
            self._access.choose(path)
        except HNSegmenterError as fault:
            dialogs.show_fault(_("HN Segmenter: inbox"), fault.sentence)
            return
        self._listing = self._listed = False
        self._followed.clear()
        self._lights.clear()
        self._table.show([])
        self._showSetup()
        self.onRefresh()

    def onRefresh(self) -> None:
        self._list()
        if self._listing:
            self._lights.refresh()

    def onApprove(self) -> None:
        node = self._segmentation()
        case = scene.case_of(scene.volume_of(node)) if node is not None else None
        row = self._table.patient(case.series) if case is not None else None
        if case is not None and row is not None:  # as the button has it
            self._review.approve(row, case, node)

    def _withChosen(self, action: Callable[[dict], None]) -> None:
        """For the patient that is chosen: without one the buttons are off."""
        if (row := self._table.chosen) is not None:
            action(row)

    def update(self) -> None:
        """Buttons and the line on the patient in review, after something was chosen, began or ended."""
        ready, busy, chosen = self._access.settings is not None, self._review.busy, self._table.chosen
        state = chosen["state"] if chosen is not None else None
        self._ui.inboxOpenButton.enabled = chosen is not None and not busy
        self._ui.inboxRejectButton.enabled = state == WAITING and not busy
        self._ui.inboxRefreshButton.enabled = ready and not self._listing
        self._ui.inboxConfigureButton.enabled = not busy
        self._ui.inboxCancelButton.setVisible(self._review.cancellable)
        text, approvable = self._inReview()
        self._ui.inboxReviewLabel.text = text
        self._ui.inboxReview.setVisible(bool(text))
        self._ui.inboxApproveButton.enabled = approvable and not busy

    def _inReview(self) -> tuple[str, bool]:
        """A sentence on the contours shown, empty if they are not from the node, and whether they can be approved."""
        node = self._segmentation()
        case = scene.case_of(scene.volume_of(node)) if node is not None else None
        if case is None or self._access.settings is None:
            return "", False
        row = self._table.patient(case.series)
        if row is None:
            said = (
                _("The node does not have this patient any more.")
                if self._listed
                else _("Refresh, to approve these contours.")
            )
            return said, False
        patient = patient_name(row)
        if row.get("job") != case.job:
            return _("{patient}: the CT grew since it was opened, and was segmented anew. Open it again.").format(
                patient=patient
            ), False
        if row["state"] != WAITING:
            return _("{patient}: {state}.").format(patient=patient, state=state_word(row["state"])), False
        return _("In review: {patient}. Contours: {contours}.").format(patient=patient, contours=node.GetName()), True

    def _showSetup(self) -> None:
        """Sections and sentences for this machine's configuration, or for none."""
        settings = self._access.settings
        ready = settings is not None
        self._ui.inboxBody.setVisible(ready)
        self._ui.inboxSetupLabel.text = (
            _("Node: {url}").format(url=settings.node.url)
            if settings is not None
            else self._access.fault
            or _(
                "Not set up. Patients that a scanner sends to the clinic's DICOM node are contoured there and wait "
                "here for their review. Choose the node's configuration (service.toml), which your physicist has."
            )
        )
        self._ui.inboxSetupLabel.toolTip = self._access.path
        self._ui.inboxConfigureButton.text = _("Change...") if ready else _("Choose service.toml...")
        self._lights.clear()
        self.update()

    def _onCollapsed(self, collapsed: bool) -> None:
        if not collapsed and self._access.settings is not None and not self._listed:
            self.onRefresh()

    def _onDoubleClick(self) -> None:
        if self._ui.inboxOpenButton.enabled:
            self._withChosen(self._review.open)

    def _onTimer(self) -> None:
        if self._access.silent and (self._followed or self._ui.inboxTable.visible):
            self._list()
        else:
            self._wait()

    def _wait(self) -> None:
        self._timer.start(FOLLOWING_MS if self._followed else EVERY_MS)

    def _list(self) -> None:
        if self._listing:
            return
        self._timer.stop()
        try:
            self._access.ask(["list"], self._onListed, self._onListFault)
            self._listing = True
            self._ui.inboxSummary.text = self._ui.inboxSummary.text or _("Asking the node ...")
        except HNSegmenterError as fault:  # declined too
            self._ui.inboxSummary.text = fault.sentence
        self.update()

    def _onListed(self, result: dict) -> None:
        self._listing, self._listed = False, True
        self._table.show(result.get("patients", []))
        self._ui.inboxSummary.text = "\n".join(filter(None, [self._table.summary(), result.get("corrected")]))
        self._follow()
        self._wait()

    def _onListFault(self, sentence: str) -> None:
        self._listing = False
        self._ui.inboxSummary.text = sentence
        self._wait()
        self.update()

    def _decided(self, row: dict) -> None:
        self._followed[row["series"]] = (row["job"], time.monotonic())
        self._list()

    def _follow(self) -> None:
        """Say how far the patients are that were decided on, until their end."""
        lines = []
        for series, (job, since) in list(self._followed.items()):
            row = self._table.patient(series)
            if row is None or row.get("job") != job or row["state"] in OVER:
                del self._followed[series]
            lines.append(_progress(row, time.monotonic() - since))
        if lines:
            dialogs.tell(self._ui.inboxStatus, "\n".join(filter(None, lines)))


def _progress(row: dict | None, seconds: float) -> str:
    """How far a decision has come."""
    if row is None:
        return _("The node does not have this patient any more.")
    if row["state"] == WAITING:
        late = (
            _(" It has waited for a minute: does the node's worker run (hn-segmenter serve)?")
            if seconds > PATIENCE_S
            else ""
        )
        return _("{patient}: the node keeps your decision.{late}").format(patient=patient_name(row), late=late)
    words = " ".join(filter(None, [f"{state_word(row['state'])}.", row.get("reason"), *deliveries(row)]))
    return _("{patient}: {words}").format(patient=patient_name(row), words=words)
