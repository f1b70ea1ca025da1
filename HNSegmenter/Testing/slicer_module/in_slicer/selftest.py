"""HNSegmenterTest as Reload & Test runs it."""

import unittest

import slicer

code = 1
try:
    slicer.util.selectModule("HNSegmenter")
    import HNSegmenter

    suite = unittest.TestLoader().loadTestsFromTestCase(HNSegmenter.HNSegmenterTest)
    code = 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1
finally:
    print(f"HN Segmenter tests ended with {code}", flush=True)
    slicer.util.exit(code)
