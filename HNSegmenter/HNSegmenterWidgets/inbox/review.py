"""The review of one patient of the inbox: opened, edited, approved and sent, or rejected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import Cancelled, HNSegmenterError

from .. import dialogs
from ..importing import Importing
from ..runs.run import Run
from ..save_section import ask_types
from . import questions
from .access import NodeAccess
from .table import patient_name


class InboxReview:
    """One action at a time, told on the section's status line.

    clearScene() is asked before a CT is loaded; onOpened(volume, contours or None) and onDecided(row) follow when an
    action is done, onChange() whenever one begins or ends.
    """

    def __init__(
        self,
        ui,
        logic,
        access: NodeAccess,
        clearScene: Callable,
        onOpened: Callable,
        onDecided: Callable,
        onChange: Callable,
    ):
        self._ui, self._logic, self._access = ui, logic, access
        self._clearScene, self._onOpened, self._onDecided, self._onChange = clearScene, onOpened, onDecided, onChange
        self._folder: scene.PrivateFolder | None = None
        self._run: Run | None = None
        self._importing: Importing | None = None

    @property
    def busy(self) -> bool:
        return self._folder is not None

    @property
    def cancellable(self) -> bool:
        return self._run is not None

    def close(self) -> None:
        """Nothing of it stays, and nobody is told."""
        if self._importing is not None:
            self._importing.stop()
        self._forget()

    def stopImport(self) -> None:
        """The scene or the CT goes away while contours are being loaded."""
        if self._importing is not None:
            self._importing.stop()
            self._end(_("Cancelled: the patient still waits at the node."))

    def cancel(self) -> None:
        """Stop the fetching; a second time kills it."""
        if self._run is not None:
            if self._run.cancelling:
                self._run.kill()
            self._run.cancel()

    def open(self, row: dict) -> None:
        """Fetch CT and results, and show them."""

        def ask() -> None:
            target = self._place() / "patient"
            self._run = self._access.ask(
                ["fetch", row["series"], "--out", str(target)],
                lambda _result: self._fetched(row, target),
                self._failed,
                self._onEvent,
            )

        self._begin(_("Fetching {patient} ...").format(patient=patient_name(row)), ask)

    def approve(self, row: dict, case: scene.Case, node) -> None:
        """Write the contours as RTSTRUCT, say what had to be changed,
        and hand it to the node under the reviewer's name."""

        def ask() -> None:
            targets, types = self._targets(row), ask_types(node)
            with slicer.util.WaitCursor():
                saved = self._logic.exportDicomRt(node, self._place() / "rtstruct", types, onEvent=self._onDrawing)
            contours = f"{node.GetName()}: {_contours(node, saved)}"
            choice = questions.approve(patient_name(row), contours, saved.warnings, targets)
            if choice is None:
                raise Cancelled("")
            command = [
                "approve",
                case.series,
                "--job",
                case.job,
                "--reviewer",
                choice.reviewer,
                "--rtstruct",
                str(saved.path),
            ]
            self._handOver(row, [*command, *(word for name in choice.destinations for word in ("--destination", name))])

        self._begin("", ask)

    def _handOver(self, row: dict, command: list[str], agreed: str = "") -> None:
        """Have the node take the approved set. Where it has to be changed for that,
        it takes just what the reviewer agreed to.

        agreed: digest of these changes. Raises HNSegmenterError.
        """
        changes: list[dict] = []

        def listen(event: dict) -> None:
            if event["event"] == "changes":
                changes.append(event["data"])

        def refused(sentence: str) -> None:
            if not changes or not sentence:
                self._failed(sentence)
            elif questions.agree(patient_name(row), changes[-1]["sentences"]):
                self._try(lambda: self._handOver(row, command, changes[-1]["digest"]))
            else:
                self._failed("")

        self._tell(_("Handing it to the node ..."))
        self._access.ask(
            [*command, *(["--agreed", agreed] if agreed else [])],
            lambda _result: self._decided(row, _("Approved. The node sends it now.")),
            refused,
            listen,
        )

    def reject(self, row: dict) -> None:
        """Ask for the reason, and tell the node."""

        def ask() -> None:
            choice = questions.reject(patient_name(row))
            if choice is None:
                raise Cancelled("")
            reviewer, reason = choice
            self._access.ask(
                ["reject", row["series"], "--job", row["job"], "--reviewer", reviewer, "--reason", reason],
                lambda _result: self._decided(row, _("Rejected: nothing is sent.")),
                self._failed,
            )

        self._begin("", ask)

    def _place(self) -> Path:
        """The folder of what goes on. Raises Cancelled where it was closed meanwhile."""
        if self._folder is None:
            raise Cancelled("")
        return self._folder.path

    def _begin(self, text: str, ask: Callable[[], None]) -> None:
        def begin() -> None:
            self._folder = scene.PrivateFolder()
            self._tell(text)
            self._onChange()
            ask()
            self._onChange()

        self._try(begin)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Cancelled as declined:
            self._end(declined.sentence)
        except HNSegmenterError as fault:
            self._failed(fault.sentence)

    def _end(self, text: str) -> None:
        self._forget()
        self._tell(text)
        self._onChange()

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.remove()
        self._folder = self._run = self._importing = None
        self._ui.inboxProgress.setVisible(False)

    def _failed(self, sentence: str) -> None:
        """sentence: "" after a cancel."""
        self._end(sentence or _("Cancelled: the patient still waits at the node."))
        if sentence:
            dialogs.show_fault(_("HN Segmenter: inbox"), sentence)

    def _importFailed(self, sentence: str) -> None:
        self._failed(sentence or _("The contours could not be loaded: the Python console says why."))

    def _onEvent(self, event: dict) -> None:
        if event.get("fraction") is not None:
            self._ui.inboxProgress.setVisible(True)
            self._ui.inboxProgress.setValue(round(1000 * event["fraction"]))

    def _onDrawing(self, event: dict) -> None:
        """Drawing holds the window up: say so before."""
        words = _("Writing the structure set: {percent} %").format(percent=round(100 * (event.get("fraction") or 0.0)))
        dialogs.tell(self._ui.inboxStatus, words)
        dialogs.paint()

    def _fetched(self, row: dict, folder: Path) -> None:
        self._run = None
        self._onChange()
        self._try(lambda: self._load(row, folder))

    def _load(self, row: dict, folder: Path) -> None:
        if not self._clearScene():
            raise Cancelled(_("Not opened: the patient still waits at the node."))
        self._tell(_("Loading {patient} ...").format(patient=patient_name(row)))
        slicer.app.processEvents()
        with slicer.util.WaitCursor():
            volume = self._logic.load(folder / "ct", copy=True)
        scene.mark(volume, scene.Case(row["series"], row["job"]))
        if (folder / "results").is_dir():
            steps = scene.show_in_steps(folder / "results", volume)
            self._importing = Importing(
                steps, lambda _fraction: None, lambda node: self._shown(row, volume, node), self._importFailed
            )
        else:
            self._shown(row, volume, None)

    def _shown(self, row: dict, volume, node) -> None:
        said = (
            _("Opened: {patient}. Review every contour.")
            if node is not None
            else _("Opened: {patient}, without contours.")
        )
        self._end(said.format(patient=patient_name(row)))
        self._onOpened(volume, node)

    def _decided(self, row: dict, text: str) -> None:
        self._end(text)
        self._onDecided(row)

    def _targets(self, row: dict) -> list[questions.Target]:
        """The node's planning systems; what each gets stands in this machine's configuration.
        Raises HNSegmenterError."""
        known = self._access.settings.destinations if self._access.settings is not None else {}
        names = row.get("destinations") or list(known)
        there = {name: known[name] for name in names if name in known}
        if not there:
            raise HNSegmenterError(
                _(
                    "The node's planning systems are not in this computer's service.toml: "
                    "copy the node's [destinations] into it."
                )
            )
        return [questions.Target(name, item.approval, item.automatic) for name, item in there.items()]

    def _tell(self, text: str) -> None:
        dialogs.tell(self._ui.inboxStatus, text)


def _contours(node, saved: scene.Saved) -> str:
    """All that is sent, by who drew it, and what is not."""
    groups: dict[str, list[str]] = {}
    for roi in saved.rois:
        groups.setdefault(roi.algorithm, []).append(roi.name)
    said = [f"{', '.join(names)} ({algorithm})" for algorithm, names in groups.items()]
    if left_out := [node.GetSegmentation().GetSegment(segment).GetName() for segment in scene.left_out(node)]:
        said.append(_("left out, not sent: {names}").format(names=", ".join(left_out)))
    return "; ".join(said)
