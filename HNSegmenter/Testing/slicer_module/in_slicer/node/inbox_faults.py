"""What may be wrong between Slicer and the node: configuration, password, nobody there.

HNSEG_TEST_SERVICE: service.toml of a node that runs, without its password, which is HNSEG_TEST_PASSWORD;
HNSEG_TEST_DOWN: one of a node that does not run.
"""

import os
import shutil
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import qt
import slicer
from driver import WidgetTest, run, screenshot, wait

from HNSegmenterLib import scene
from HNSegmenterWidgets import packages

PASSWORD = os.environ["HNSEG_TEST_PASSWORD"]


@unittest.skipIf(
    packages.missing(packages.INBOX), "Slicer's Python lacks what requirements-inbox.txt names: install it there"
)
class InboxFaults(WidgetTest):
    def setUp(self):
        super().setUp()
        self.ui.inboxSection.collapsed = False
        for section in (self.ui.loadSection, self.ui.segmentSection, self.ui.saveSection):
            section.collapsed = True
        self.inbox = self.widget.inboxSection

    def asked(self):
        wait(lambda: not self.inbox._listing and not self.inbox._lights._asking, 120)

    def test_1_unusable_configuration_is_refused(self):
        wrong = self.folder / "service.toml"
        wrong.write_text('[node]\nurll = "http://127.0.0.1:8042"\n')
        self.dialogs.answers = {"": "OK"}
        self.inbox.configure(str(wrong))
        self.assertEqual(self.dialogs.seen, [""])
        self.assertIn("Not set up", self.ui.inboxSetupLabel.text)
        self.assertFalse(self.ui.inboxBody.visible)

    def test_2_node_that_does_not_answer(self):
        self.inbox.configure(os.environ["HNSEG_TEST_DOWN"])
        self.asked()
        self.assertIn("Nothing listens", self.ui.inboxSummary.text)
        self.assertIn("MONACO: ", self.ui.inboxLightFaults.text)
        self.assertFalse(self.ui.inboxOpenButton.enabled)
        self.assertTrue(self.ui.inboxRefreshButton.enabled)
        screenshot("inbox-node-down")

    def test_3_password_is_asked_for_and_not_kept(self):
        self.dialogs.answers = {"HNSegmenterNodePassword": "Cancel"}
        self.inbox.configure(os.environ["HNSEG_TEST_SERVICE"])
        self.assertIn("password is needed", self.ui.inboxSummary.text)
        self.answer("not the password")
        self.ui.inboxRefreshButton.click()
        self.asked()
        self.assertIn("password", self.ui.inboxSummary.text)
        self.answer(PASSWORD)
        self.ui.inboxRefreshButton.click()
        self.asked()
        self.assertEqual(self.ui.inboxSummary.text, "Nobody waits for review.")
        self.assertEqual(len(self.dialogs.seen), 3)
        self.ui.inboxRefreshButton.click()
        self.asked()
        self.assertEqual(len(self.dialogs.seen), 3, "it is asked for once")
        screenshot("inbox-empty")
        settings = qt.QSettings()
        settings.sync()
        self.assertFalse([key for key in settings.allKeys() if PASSWORD in str(settings.value(key))])
        self.assertNotIn(PASSWORD, os.environ.get("HNSEG_NODE_PASSWORD", ""))
        self.assertNotIn(
            PASSWORD, slicer.app.recentLogFiles() and Path(slicer.app.recentLogFiles()[0]).read_text(errors="replace")
        )

    def test_4_a_patient_that_was_loaded_before_from_a_folder_that_is_gone(self):
        """The database knows slices whose files are gone: what is opened now is copied into it."""
        from HNSegmenterLib import sample

        for name, copy in (("stick", False), ("fetched", True)):
            slicer.mrmlScene.Clear(False)
            folder = sample.write_dicom(self.folder / name, seed=7)
            volume = self.logic.load(folder, copy=copy)
            shutil.rmtree(folder)
        files = scene.dicom_database.original_files(volume)
        self.assertEqual(len(files), volume.GetImageData().GetDimensions()[2])
        self.assertTrue(all(file.is_relative_to(slicer.dicomDatabase.databaseDirectory) for file in files))

    def answer(self, text):
        def fill(dialog):
            dialog.setTextValue(text)

        self.dialogs.answers = {"HNSegmenterNodePassword": ("OK", fill)}


run(InboxFaults)
