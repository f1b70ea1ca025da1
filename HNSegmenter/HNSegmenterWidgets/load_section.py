"""Section 1: a folder or a file becomes the CT of the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from HNSegmenterLib.errors import HNSegmenterError, UnusableInput

from . import dialogs

PATTERNS = "CT (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.dcm);;* (*)"
LAST_FOLDER = "HNSegmenter/LastFolder"


class LoadSection:
    """onLoaded(volume) is called with the CT; mayClose() says whether the scene may be closed for it."""

    def __init__(self, ui, logic, onLoaded: Callable, mayClose: Callable[[], bool]):
        self._ui, self._logic, self._onLoaded, self._mayClose = ui, logic, onLoaded, mayClose
        self._warnings: list[str] = []
        self._drops = DropFilter(self.load)
        ui.loadSection.installEventFilter(self._drops)
        ui.loadFolderButton.connect("clicked()", self.onFolder)
        ui.loadFileButton.connect("clicked()", self.onFile)

    def close(self) -> None:
        self._ui.loadSection.removeEventFilter(self._drops)

    def onFolder(self) -> None:
        self.load(dialogs.folder(_("Folder with the DICOM files of a CT"), self._lastFolder()))

    def onFile(self) -> None:
        self.load(dialogs.file(_("CT as a file"), PATTERNS, self._lastFolder()))

    def load(self, path: str) -> None:
        """Load it, asking where something is unclear. An empty path loads nothing."""
        if not path or not self.clearScene():
            return
        qt.QSettings().setValue(LAST_FOLDER, str(Path(path).parent))
        self._warnings = []
        volume = self._tried(path)
        if volume is not None:
            self._tell("\n".join(f"! {warning}" for warning in self._warnings))
            self._onLoaded(volume)

    def _tried(self, path: str):
        series = None
        while True:
            try:
                with slicer.util.WaitCursor():
                    self._tell(_("Reading ..."))
                    return self._logic.load(path, series, self._onEvent)
            except UnusableInput as refusal:
                chosen = _chooseSeries(refusal.candidates) if refusal.candidates and series is None else None
                if chosen is None:
                    self._tell("" if refusal.candidates else refusal.sentence)
                    if not refusal.candidates:
                        dialogs.show_fault(_("HN Segmenter: load"), refusal.sentence)
                    return None
                series = chosen
            except HNSegmenterError as fault:
                self._tell(fault.sentence)
                dialogs.show_fault(_("HN Segmenter: load"), fault.sentence)
                return None

    def clearScene(self) -> bool:
        """Close the scene, after asking if it is unsaved. False if the user does not want to load after all."""
        if not self._mayClose() or not _holdsData():
            return True
        close = dialogs.confirm_close_scene() if _unsaved() else True
        if close:
            slicer.mrmlScene.Clear(False)
        return close is not None

    def _onEvent(self, event) -> None:
        if event.kind == "warning":
            self._warnings.append(event.message)
        elif event.kind == "progress" and event.fraction is not None:
            self._tell(_("Reading: {percent} %").format(percent=round(100 * event.fraction)))

    def _tell(self, text: str) -> None:
        if self._ui.loadStatus.text != text:
            dialogs.tell(self._ui.loadStatus, text)
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

    def _lastFolder(self) -> str:
        return slicer.util.settingsValue(LAST_FOLDER, "")


class DropFilter(qt.QObject):
    """Takes the first local file or folder that is dropped on the widget it watches."""

    def __init__(self, onPath: Callable[[str], None]):
        qt.QObject.__init__(self)
        self._onPath = onPath

    def eventFilter(self, _object, event) -> bool:
        if event.type() in (qt.QEvent.DragEnter, qt.QEvent.DragMove):
            if _localPath(event.mimeData()):
                event.acceptProposedAction()
                return True
        elif event.type() == qt.QEvent.Drop:
            path = _localPath(event.mimeData())
            if path:
                event.acceptProposedAction()
                qt.QTimer.singleShot(0, lambda: self._onPath(path))  # the file manager waits until this returns
                return True
        return False


def _localPath(mime) -> str:
    return next((url.toLocalFile() for url in mime.urls() if url.isLocalFile()), "") if mime.hasUrls() else ""


def _chooseSeries(candidates: list[dict]) -> str | None:
    """The Series Instance UID that the user takes for the planning CT."""
    items = [
        _("{number}. {description}: {files} images, {thickness} mm, in {folder}").format(
            number=number,
            description=item["description"] or _("without description"),
            files=item["files"],
            thickness="?" if item["thickness_mm"] is None else f"{item['thickness_mm']:g}",
            folder=Path(*Path(item["folder"]).parts[-2:]),
        )
        for number, item in enumerate(candidates, 1)
    ]
    chosen = dialogs.choose(
        "HNSegmenterSeries",
        _("HN Segmenter: load"),
        _("Several CT series could be the planning CT. Which one is it?"),
        items,
    )
    return None if chosen is None else candidates[chosen]["uid"]


def _holdsData() -> bool:
    """Not the slices' models and cursors of an empty scene, which are hidden from editors."""
    classes = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode")
    nodes = [node for name in classes for node in slicer.util.getNodesByClass(name)]
    return any(not node.GetHideFromEditors() for node in nodes)


def _unsaved() -> bool:
    return slicer.mrmlScene.GetStorableNodesModifiedSinceRead() or slicer.mrmlScene.GetModifiedSinceRead()
