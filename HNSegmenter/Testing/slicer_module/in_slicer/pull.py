"""The container's image is pulled by clicks, its progress seen.
HNSEG_TEST_IMAGE: its name, in a registry that is slow."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from driver import WidgetTest, run, screenshot, typed, wait


class Pull(WidgetTest):
    def test_pull_by_name(self):
        self.ui.runtimeBox.setCurrentIndex(1)
        self.dialogs.answers = {
            "HNSegmenterImage": "Pull it by its name...",
            "HNSegmenterImageName": ("OK", typed(os.environ["HNSEG_TEST_IMAGE"])),
        }
        self.ui.imageButton.click()
        self.assertTrue(self.logic.running)
        said, shown = set(), set()

        def ended():
            said.add(self.ui.stageLabel.text)
            shown.add(self.ui.progressBar.value)
            if len(shown) == 4:
                screenshot("pulling")
            return not self.logic.running

        wait(ended, 120)
        self.assertTrue([text for text in said if "Pulling the image" in text and "MB" in text], said)
        self.assertGreater(len(shown), 3, "the bar moved")
        self.assertEqual(self.ui.stageLabel.text, "Done: the image is ready.")


run(Pull)
