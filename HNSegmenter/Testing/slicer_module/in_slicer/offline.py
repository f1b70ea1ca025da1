"""First use without a network: packages come from a folder of wheels, by clicks. HNSEG_TEST_WHEELS: the folder.

It holds one made-up wheel, hnseg_offline_probe, which is removed again; --no-index keeps pip from any network.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import slicer
from driver import WidgetTest, chosen_path, run, screenshot

from HNSegmenterLib.errors import Cancelled, HNSegmenterError
from HNSegmenterWidgets import packages

PROBE = "hnseg-offline-probe"


class Offline(WidgetTest):
    def setUp(self):
        super().setUp()
        self.requirements = packages.REQUIREMENTS
        packages.REQUIREMENTS = self.folder / "requirements.txt"
        packages.REQUIREMENTS.write_text(f"# what this Python lacks\n{PROBE}>=1\n", encoding="utf-8")

    def tearDown(self):
        packages.REQUIREMENTS = self.requirements
        super().tearDown()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        slicer.util.pip_uninstall(PROBE)

    def test_1_declined(self):
        self.dialogs.answers = {"HNSegmenterPackages": "Not now"}
        with self.assertRaises(Cancelled):
            packages.ensure("local")
        self.assertEqual(packages.missing("local"), [f"{PROBE}>=1"])

    def test_2_a_folder_without_the_wheel_is_refused_in_a_sentence(self):
        empty = self.folder / "no wheels"
        empty.mkdir()
        self.dialogs.answers = self.from_folder(empty) | {"": "OK"}  # Slicer 5.12 says it too
        with self.assertRaises(HNSegmenterError) as fault:
            packages.ensure("local")
        self.assertIn("in that folder", fault.exception.sentence)

    def test_3_installed_at_the_first_segment(self):
        numpy = metadata.version("numpy")
        self.drop(self.ct)
        self.dialogs.answers = self.from_folder(os.environ["HNSEG_TEST_WHEELS"])
        self.segmented()
        self.assertEqual(self.dialogs.seen, ["HNSegmenterPackages", "QFileDialog"])
        self.assertEqual(metadata.version(PROBE), "1.0")
        self.assertEqual(metadata.version("numpy"), numpy)
        screenshot("offline")

    def from_folder(self, folder) -> dict:
        return {"HNSegmenterPackages": "From a folder...", "QFileDialog": ("Choose", chosen_path(folder))}


run(Offline)
