"""The next start offers the result of the run that was let finish. HNSEG_TEST_CT: as in quit_leave.py."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from DICOMLib import DICOMUtils
from driver import open_module, run, screenshot, wait


class Return(unittest.TestCase):
    def test_result_is_offered(self):
        DICOMUtils.openDatabase(os.environ["HNSEG_TEST_CT"] + "-database")
        widget = open_module()
        self.assertTrue(widget.ui.noticeFrame.visible)
        wait(lambda: widget.ui.noticeAcceptButton.visible, 200)
        screenshot("offered")
        widget.ui.noticeAcceptButton.click()
        self.assertFalse(widget.ui.noticeFrame.visible)
        wait(lambda: widget.ui.segmentationSelector.currentNode() is not None, 60)
        screenshot("offered-and-shown")
        self.assertGreaterEqual(widget.ui.segmentationSelector.currentNode().GetSegmentation().GetNumberOfSegments(), 4)


run(Return)
