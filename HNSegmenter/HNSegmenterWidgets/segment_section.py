"""Section 2: one button, the run's progress, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib import scene
from HNSegmenterLib.errors import Cancelled, HNSegmenterError
from HNSegmenterLib.pipeline import NO_RTSTRUCT
from HNSegmenterLib.settings import jobs_folder

from . import dialogs, image_dialog, packages
from .importing import Importing
from .model_box import ModelBox
from .organ_table import OrganTable
from .runs.run import Run, RunState
from .runs.stages import stage_words
from .runtime_box import RuntimeBox

IMAGE_MISSING = "is not on the Docker engine"


class SegmentSection:
    """volume() is the CT chosen, segmentation() the contours shown, onSegmented(node) is told of new ones; remembered()
    and remember(texts) are the scene's models (ModelBox); onLeftOut() follows a tick in the table of organs."""

    def __init__(
        self,
        ui,
        logic,
        volume: Callable,
        segmentation: Callable,
        onSegmented: Callable,
        remembered: Callable,
        remember: Callable,
        onLeftOut: Callable,
    ):
        self._ui, self._logic = ui, logic
        self._volume, self._segmentation, self._onSegmented = volume, segmentation, onSegmented
        self._replaced, self._logged = None, ""
        self._importing: Importing | None = None
        self._said: Callable[[dict], str] = lambda _result: ""
        self._result: dict = {}
        self._table = OrganTable(ui, onLeftOut)
        self._clock = qt.QTimer()
        self._clock.setInterval(500)
        self._clock.connect("timeout()", self._tick)
        self._runtime = RuntimeBox(ui, logic)
        if self._runtime.fault:
            ui.stageLabel.text = self._runtime.fault
        self._models = ModelBox(ui, logic, remembered, remember, self.update, self._command)
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.cancelButton.connect("clicked()", self.onCancel)
        ui.editButton.connect("clicked()", self.onEdit)
        ui.imageButton.connect("clicked()", self.onImage)

    def close(self) -> None:
        self._clock.stop()
        self.stopImport()

    def stopImport(self) -> None:
        """The scene or the CT goes away while contours are being loaded."""
        if self._importing is not None:
            self._importing.stop()
            self._imported(_("Cancelled: nothing was kept."))

    def forget(self) -> None:
        """The scene is empty: what was said of contours that are gone goes, unless a run is still ending."""
        if not self._logic.running:
            self._ui.stageLabel.text = self._ui.elapsedLabel.text = ""

    def update(self) -> None:
        """Buttons, after a run began or ended or the choices changed."""
        running, volume = self._logic.running or self._importing is not None, self._volume()
        self._models.update(running)
        self._ui.segmentButton.enabled = volume is not None and not running and self._models.fault is None
        self._ui.segmentButton.toolTip = (
            _("A run is going on.")
            if running
            else _("Load or choose a CT first.")
            if volume is None
            else self._models.fault or _("Contour the organs at risk.")
        )
        self._ui.cancelButton.enabled = self._logic.running
        self._ui.cancelButton.toolTip = (
            _("Stop the run. Nothing of it stays on this computer or in the Docker engine.")
            if self._logic.running
            else _("No run is going on.")
        )
        self._runtime.update(running)
        self._ui.editButton.enabled = self._segmentation() is not None
        self._ui.editButton.toolTip = (
            _("Open the Segment Editor on the organ chosen in the table.")
            if self._ui.editButton.enabled
            else _("Segment a CT, or choose contours in section 3, first.")
        )

    def enter(self) -> None:
        """The module is shown: models may have been added or removed meanwhile, by the command line."""
        self._models.refresh()

    def refresh(self, masks: Mapping) -> None:
        """Table, warnings and surfaces, after the contours changed; masks: scene.own_masks of them."""
        node = self._segmentation()
        result = scene.result_of(node) if node is not None else None
        if result is not None and node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility3D():
            node.CreateClosedSurfaceRepresentation()  # some edits drop it; no work where it is there
        self._table.show(node if result is not None else None, masks)
        warnings = [text for text in result.warnings if text != NO_RTSTRUCT] if result is not None else []
        self._ui.warningsLabel.text = "\n".join(f"! {text}" for text in warnings)
        self._ui.warningsLabel.setVisible(bool(warnings))

    def onSegment(self) -> None:
        try:
            runtime, host = self._runtime.kept()
            self._models.refresh()  # where the first packages came just now, they can be read now
            if self._models.fault is not None:
                raise HNSegmenterError(self._models.fault)
            self._replaced = self._askReplace()
            self._models.segmenting()
            with slicer.util.WaitCursor():  # tilted and uneven series are read from their files again
                self._logic.start(
                    self._volume(),
                    runtime,
                    host,
                    self._onEvent,
                    self._onEnd,
                    self._onWait,
                    models=self._models.options(),
                )
        except Cancelled as declined:
            self._ui.stageLabel.text = declined.sentence
        except HNSegmenterError as fault:
            self._failed(fault.sentence)
        else:
            self._began()

    def _onWait(self) -> None:
        dialogs.tell(self._ui.stageLabel, _("Reading the files of tilted or uneven slices ..."))
        dialogs.paint()

    def onCancel(self) -> None:
        if self._logic.cancelling:
            self._logic.kill()
        else:
            self._logic.cancel()
            self._ui.stageLabel.text = _("Cancelling ... (Cancel again to kill it)")

    def onEdit(self) -> None:
        """The Segment Editor on the organ chosen in the table."""
        node = self._segmentation()
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(node)
        editor.setSourceVolumeNode(scene.volume_of(node) or self._volume())
        if segment := self._table.segmentId:
            editor.setCurrentSegmentID(segment)

    def onImage(self) -> None:
        """Bring the container's image in: pulled by its name, or from a file."""
        try:
            _runtime, host = self._runtime.kept()
            arguments = image_dialog.ask()
        except Cancelled as declined:
            self._ui.stageLabel.text = declined.sentence
        except HNSegmenterError as fault:
            self._failed(fault.sentence)
        else:
            if arguments is not None:
                self._command("docker", ["image", *arguments], lambda _result: _("Done: the image is ready."), host)

    def _command(self, purpose: str, command: list[str], said: Callable[[dict], str], host: str | None = None) -> None:
        """Run another command than segment; said(result) is what is shown when it is done."""
        try:
            packages.ensure(purpose)
            self._said, self._result = said, {}
            self._logic.startCommand(command, host, self._onEvent, self._onEnd)
            self._began()
        except Cancelled as declined:
            self._ui.stageLabel.text = declined.sentence
        except HNSegmenterError as fault:
            self._failed(fault.sentence)

    def _began(self) -> None:
        self._ui.logText.clear()
        self._logged = ""
        self._ui.progressBar.setRange(0, 1000)
        self._ui.progressBar.setValue(0)
        self._ui.progressBar.setVisible(True)
        dialogs.tell(self._ui.stageLabel, _("Starting ..."))
        self._clock.start()
        self._tick()
        self.update()

    def _tick(self) -> None:
        seconds = round(self._logic.seconds)
        self._ui.elapsedLabel.text = f"{seconds // 60}:{seconds % 60:02d}"

    def _onEvent(self, event: dict) -> None:
        kind, message = event["event"], event.get("message")
        if kind == "result":
            self._result = event
        if kind in ("progress", "state") and not self._logic.cancelling:
            fraction = event.get("fraction")
            if fraction is not None:
                self._ui.progressBar.setValue(round(1000 * fraction))
            words = stage_words().get(event.get("stage"), event.get("stage") or "")
            self._ui.stageLabel.text = f"{words}: {message}" if message else words
        if message and (kind != "progress" or event.get("fraction") is None):
            self._log(message)

    def _log(self, text: str) -> None:
        """But for what the child says of its own folder, which nobody will find, and of the RTSTRUCT,
        which comes later."""
        if text != self._logged and not text.endswith(NO_RTSTRUCT) and str(jobs_folder()) not in text:
            self._ui.logText.appendPlainText(text)
            self._logged = text

    def _onEnd(self, run: Run) -> None:
        self._tick()
        self._clock.stop()
        self._ui.progressBar.setVisible(False)
        if run.log:
            self._ui.logText.appendPlainText("\n".join(run.log))
        try:
            if run.state == RunState.CANCELLED:
                self._ui.stageLabel.text = _("Cancelled: nothing was kept.")
            elif run.state == RunState.FAILED:
                self._failed(run.sentence)
            elif run.job is None:
                self._ui.stageLabel.text = self._said(self._result)
            else:
                self.show(run.job, self._replaced)
        finally:
            self.update()

    def show(self, job, replace=None) -> None:
        """Load the contours of a job that is done, and take it away."""
        self._job = job
        self._ui.stageLabel.text = _("Loading the contours")
        try:
            steps = self._logic.importSteps(job, replace)
        except HNSegmenterError as fault:
            self._importFailed(fault.sentence)
            return
        self._importing = Importing(steps, lambda _fraction: None, self._shown, self._importFailed)
        self.update()

    def _shown(self, node) -> None:
        found = node.GetSegmentation().GetNumberOfSegments()
        self._imported(_("Done: {number} organs found. Review every contour.").format(number=found))
        self._onSegmented(node)

    def _importFailed(self, sentence: str) -> None:
        self._imported("")
        self._failed(sentence or _("The contours could not be loaded: the Python console says why."))

    def _imported(self, text: str) -> None:
        self._importing = None
        self._job.remove()
        dialogs.tell(self._ui.stageLabel, text)
        self.update()

    def _failed(self, sentence: str) -> None:
        self._ui.stageLabel.text = _("Failed: {sentence}").format(sentence=sentence)
        self._log(sentence)
        if IMAGE_MISSING in sentence:
            self.onImage()
        else:
            dialogs.show_fault(_("HN Segmenter: segment"), sentence)

    def _askReplace(self):
        """The earlier result to replace, or None to keep it; edited ones are never replaced. Raises Cancelled."""
        earlier = [node for node in scene.own_results(self._volume()) if not scene.is_edited(node)]
        if not earlier:
            return None
        swap, keep = _("Replace it"), _("Keep both")
        answer = dialogs.ask(
            "HNSegmenterReplace",
            _("HN Segmenter: segment"),
            _("This CT has been segmented already: {name}.").format(name=earlier[-1].GetName()),
            (swap, keep),
            _("Contours that somebody edited are always kept."),
        )
        if answer is None:
            raise Cancelled(_("Not started."))
        return earlier[-1] if answer == swap else None
