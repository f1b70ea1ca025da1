"""Slicer's window is closed during a run, and the user lets it finish. HNSEG_TEST_CT: folder with a DICOM series."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import slicer
from DICOMLib import DICOMUtils
from driver import Answers, drop, open_module, wait

DICOMUtils.openTemporaryDatabase(os.environ["HNSEG_TEST_CT"] + "-database")
widget = open_module()
drop(widget.ui.loadSection, os.environ["HNSEG_TEST_CT"])
wait(lambda: widget.ui.segmentButton.enabled, 120)
widget.ui.runtimeBox.setCurrentIndex(2)
widget.ui.segmentButton.click()
wait(lambda: widget.logic.poll()["stage"] is not None, 60)
answers = Answers({"HNSegmenterQuit": "Cancel"})
answers.start()
closed = slicer.util.mainWindow().close()
print(f"stayed: {not closed and widget.logic.running}", flush=True)
answers.answers = {"HNSegmenterQuit": "Let it finish", "": "Exit (discard modifications)"}
answers.seen.clear()
slicer.util.mainWindow().close()
print(f"asked: {'HNSegmenterQuit' in answers.seen}", flush=True)
