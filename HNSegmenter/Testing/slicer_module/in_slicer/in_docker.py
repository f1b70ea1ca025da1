"""A real Docker engine: a run, and one that is cancelled, leave no container. The settings name the image."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from driver import WidgetTest, run, screenshot, wait


class InDocker(WidgetTest):
    def setUp(self):
        super().setUp()
        self.ui.runtimeBox.setCurrentIndex(1)

    def test_run(self):
        self.drop(self.ct)
        stages = set()
        self.ui.segmentButton.click()
        wait(lambda: stages.add(self.logic.poll()["stage"]) or self.ui.segmentButton.enabled, 300)
        self.assertIn("Done", self.ui.stageLabel.text)
        self.assertLessEqual({"upload", "network"}, stages)
        self.assertIn("container", self.ui.logText.toPlainText())
        screenshot("docker")

    def test_cancel(self):
        self.drop(self.ct)
        self.ui.segmentButton.click()
        wait(lambda: self.logic.poll()["stage"] == "network", 120)
        self.ui.cancelButton.click()
        wait(lambda: not self.logic.running, 60)
        self.assertIn("Cancelled", self.ui.stageLabel.text)


run(InDocker)
