"""Drives the module in a running Slicer as a user would: drops, clicks, answers, waits, pictures."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import time
import traceback
import unittest
from pathlib import Path

import qt
import slicer

faulthandler.enable(2)  # a crash says where
SHOTS = os.environ.get("HNSEG_SCREENSHOTS")
PIP_AT_WORK = "Installing Python Packages"  # Slicer's own
SAVE, ORGAN = 0, 1  # columns of the table of organs, which may be imported only when the module is there
TICK_PIXELS = 10  # from an item's left to the middle of its tick


class WidgetTest(unittest.TestCase):
    """A test of the module's widget in an empty scene, with a DICOM database of its own."""

    @classmethod
    def setUpClass(cls):
        from DICOMLib import DICOMUtils

        from HNSegmenterLib import sample

        cls.folder = Path(tempfile.mkdtemp(prefix="hn-segmenter-test-")) / "files"  # Save's default is beside it
        cls.folder.mkdir()
        cls.database = DICOMUtils.openTemporaryDatabase(str(cls.folder / "database"))
        cls.ct = sample.write_dicom(cls.folder / "CT")

    @classmethod
    def tearDownClass(cls):
        import shutil

        from DICOMLib import DICOMUtils

        slicer.mrmlScene.Clear(False)
        DICOMUtils.closeTemporaryDatabase(cls.database, cleanup=False)
        shutil.rmtree(cls.folder.parent, ignore_errors=True)

    def setUp(self):
        slicer.mrmlScene.Clear(False)
        self.widget = open_module()
        self.ui = self.widget.ui
        self.logic = self.widget.logic
        self.ui.runtimeBox.setCurrentIndex(2)  # this computer
        self.dialogs = Answers({})
        self.dialogs.start()

    def tearDown(self):
        self.dialogs.stop()
        if self.logic.running:
            self.logic.abandon()
        self.assertEqual(self.dialogs.unknown, [], "dialogs that nobody expected")

    def drop(self, path) -> None:
        """Drop a folder or file on section 1 and wait until it is loaded."""
        before = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        drop(self.ui.loadSection, path)
        wait(lambda: len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) != len(before), 120)
        wait(lambda: self.ui.inputSelector.currentNode() is not None and self.ui.segmentButton.enabled, 30)

    def segmented(self) -> None:
        """Click Segment and wait for the contours."""
        self.ui.segmentButton.click()
        self.assertTrue(self.logic.running)
        wait(lambda: self.ui.segmentButton.enabled, 300)
        self.assertIn("Done", self.ui.stageLabel.text)

    def organ_row(self, organ: str) -> int:
        """The row of the table of organs, by the name that it shows."""
        table = self.ui.organTable
        items = {n: table.item(n, ORGAN) for n in range(table.rowCount)}  # none in a line with a model's name
        return next(n for n, item in items.items() if item is not None and item.text() == organ)

    def click_organ(self, organ: str, column: int = ORGAN) -> int:
        """Click into an organ's row, the tick if the column is SAVE; its number."""
        table, row = self.ui.organTable, self.organ_row(organ)
        table.scrollToItem(table.item(row, column))
        click_item(table, table.visualItemRect(table.item(row, column)), tick=column == SAVE)
        return row

    def model_row(self, name: str) -> int:
        """The line of a model in the list of section 2."""
        view = self.ui.modelList
        return next(n for n in range(view.count) if view.item(n).text().split()[0] == name)

    def click_model(self, name: str) -> None:
        """Click on a model's tick."""
        view = self.ui.modelList
        click_item(view, view.visualItemRect(view.item(self.model_row(name))), tick=True)

    def jobs(self) -> list:
        """Folders of runs on the disk."""
        from HNSegmenterLib.settings import jobs_folder

        return sorted(jobs_folder().glob("*")) if jobs_folder().is_dir() else []


def open_module():
    window = slicer.util.mainWindow()
    window.move(0, 0)
    window.resize(1400, 1000)
    for probe in slicer.util.findChildren(window, name="DataProbeCollapsibleWidget"):
        probe.collapsed = True
    slicer.util.selectModule("HNSegmenter")
    widget = slicer.modules.hnsegmenter.widgetRepresentation().self()
    slicer.app.processEvents()
    return widget


def wait(condition, seconds: float) -> None:
    """Let Slicer work until the condition holds. Raises AssertionError if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not reached within {seconds} s")
        slicer.app.processEvents()
        time.sleep(0.005)
    slicer.app.processEvents()


def drop(target, path) -> None:
    """Send the widget what a file manager sends."""
    mime = qt.QMimeData()
    mime.setUrls([qt.QUrl.fromLocalFile(str(path))])
    for kind in (qt.QDragEnterEvent, qt.QDropEvent):
        point = qt.QPoint(5, 5) if kind is qt.QDragEnterEvent else qt.QPointF(5, 5)
        event = kind(point, qt.Qt.CopyAction, mime, qt.Qt.LeftButton, qt.Qt.NoModifier)
        qt.QCoreApplication.sendEvent(target, event)


class Answers:
    """Clicks a button of each dialog that opens, and closes those that it does not know.

    answers: {objectName: button text, or (button text, what to do in the dialog before)};
    seen, unknown: the dialogs that opened.
    """

    def __init__(self, answers: dict):
        self.answers, self.seen, self.unknown = answers, [], []
        self._timer = qt.QTimer()
        self._timer.setInterval(100)
        self._timer.connect("timeout()", self._look)

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _look(self) -> None:
        dialog = slicer.app.activeModalWidget()
        if dialog is None or dialog.className() == "QProgressDialog" or dialog.windowTitle == PIP_AT_WORK:
            return
        name = dialog.objectName
        answer = self.answers.get(name)
        text, fill = answer if isinstance(answer, tuple) else (answer, lambda dialog: None)
        for button in slicer.util.findChildren(dialog, className="QPushButton"):
            if button.text.replace("&", "") == text:
                self.seen.append(name)
                fill(dialog)
                screenshot(f"dialog-{name or 'message'}")
                button.click()
                return
        self.unknown.append((name, dialog.windowTitle, getattr(dialog, "text", "")))
        dialog.close()


class Stalls:
    """The longest that the window did not answer:
    wall, in seconds, and cpu, what Slicer's own thread worked meanwhile."""

    def __init__(self, interval_ms: int = 10):
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(interval_ms)
        self._timer.connect("timeout()", self._tick)
        self.restart()

    def restart(self) -> str:
        """What it was since the last restart, in words."""
        said = ""
        if hasattr(self, "wall"):
            self._tick()  # what goes on now counts too
            said = f"{self.wall:.3f} s (of Slicer's own work {self.cpu:.3f} s)"
        self.wall = self.cpu = 0.0
        self._last = time.monotonic(), time.thread_time()
        self._timer.start()
        return said

    def stop(self) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        now = time.monotonic(), time.thread_time()
        self.wall, self.cpu = max(self.wall, now[0] - self._last[0]), max(self.cpu, now[1] - self._last[1])
        self._last = now


def chosen_path(path):
    """For Answers: what to do in Qt's file dialog to choose a folder or a file."""

    def fill(dialog):
        slicer.util.findChild(dialog, "fileNameEdit").text = str(path)

    return fill


def chosen_item(text: str):
    """For Answers: click on the line that holds this text, in a dialog with a list."""

    def fill(dialog):
        view = slicer.util.findChildren(dialog, className="QListView")[0]
        model = view.model()
        rows = [model.index(row, 0) for row in range(model.rowCount())]
        index = next(index for index in rows if text in str(model.data(index)))
        middle = view.visualRect(index).center()
        click(view.viewport(), middle.x(), middle.y())

    return fill


def typed(text: str):
    """For Answers: type into the dialog's only line."""

    def fill(dialog):
        slicer.util.findChildren(dialog, className="QLineEdit")[0].text = text

    return fill


def click(widget, x: int, y: int) -> None:
    """Press and release the left mouse button at a point of a widget."""
    for kind, buttons in (
        (qt.QEvent.MouseButtonPress, qt.Qt.LeftButton),
        (qt.QEvent.MouseButtonRelease, qt.Qt.NoButton),
    ):
        event = qt.QMouseEvent(kind, qt.QPointF(x, y), qt.Qt.LeftButton, buttons, qt.Qt.NoModifier)
        qt.QCoreApplication.sendEvent(widget, event)
    slicer.app.processEvents()


def click_item(view, box, tick: bool = False) -> None:
    """Click into an item's box of a table or list: its middle, or the tick at its left."""
    click(view.viewport(), box.left() + TICK_PIXELS if tick else box.center().x(), box.center().y())


def paint(editor, start: tuple[int, int], end: tuple[int, int], diameter_mm: float = 8) -> None:
    """A stroke of the Segment Editor's brush on the red slice; start, end: pixels from the middle of the view."""
    editor.setActiveEffectByName("Paint")
    effect = editor.activeEffect()
    effect.setCommonParameter("BrushSizeIsRelative", 0)
    effect.setCommonParameter("BrushAbsoluteDiameter", diameter_mm)
    view = slicer.app.layoutManager().sliceWidget("Red")
    x, y = view.sliceView().width // 2, view.sliceView().height // 2
    slicer.util.clickAndDrag(view, start=(x + start[0], y + start[1]), end=(x + end[0], y + end[1]), steps=5)
    editor.setActiveEffect(None)
    slicer.app.processEvents()


def screenshot(name: str) -> None:
    """The whole application as PNG into the folder HNSEG_SCREENSHOTS, if that is set."""
    if SHOTS:
        slicer.util.forceRenderAllViews()
        for _ in range(10):
            slicer.app.processEvents()
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        slicer.app.screens()[0].grabWindow(0).save(str(Path(SHOTS) / f"{name}.png"))


def run(*cases: type[unittest.TestCase]) -> None:
    """Run the tests, print what unittest prints and why any was skipped, and end Slicer with 0 or 1."""
    code = 1
    try:
        loader = unittest.TestLoader()
        suite = unittest.TestSuite([loader.loadTestsFromTestCase(case) for case in cases])
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        code = 0 if result.wasSuccessful() else 1
        for _test, reason in result.skipped:
            print(f"HN Segmenter tests skipped: {reason}", flush=True)
    except BaseException:  # noqa: BLE001 - Slicer has to end, whatever it was
        traceback.print_exc()
    print(f"HN Segmenter tests ended with {code}", flush=True)
    slicer.util.exit(code)
