"""The committed ranges, the script that measures them, and the checks on real organ shapes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.checks import ranges, run_checks
from HNSegmenterLib.checks.shapes import AXES, measure
from Testing.machine import ROOT
from Testing.painted_head import like, organs, painted_head
from tools import measure_ranges


def test_every_organ_and_pair_has_ranges():
    for name in ranges.ORGANS:
        size = "cross_section_mm2" if name == "SpinalCord" else "volume_ml"
        bounds = ranges.organ_range(name, size)
        assert bounds["low"] < bounds["median"] < bounds["high"]
        assert bounds["n"] >= 20
    for first, second in combinations(ranges.ORGANS, 2):
        for axis in AXES:
            bounds = ranges.pair_range(first, second, "offset_mm", axis)
            assert bounds["low"] < bounds["median"] < bounds["high"]
    assert ranges.organ_range("Larynx", "volume_ml") is None


def test_ranges_hold_aggregates_only():
    def numbers(place):
        if isinstance(place, dict):
            for key, value in place.items():
                assert key not in ("values", "scans_of")
                yield from numbers(value)
        elif isinstance(place, list):
            for value in place:
                assert isinstance(value, dict), "a list of numbers would be single scans"
                yield from numbers(value)

    list(numbers(ranges.load()))


def test_percentiles_and_margins_by_hand():
    values = [float(value) for value in range(101)]  # percentiles 1 and 99 are 1 and 99
    margin = measure_ranges.MARGIN["length"] * 98
    assert measure_ranges.plausible(values, "length") == {
        "low": pytest.approx(1 - margin, abs=0.051),
        "median": 50.0,
        "high": pytest.approx(99 + margin, abs=0.051),
        "n": 101,
    }
    assert measure_ranges.plausible([10.0] * 9, "length")["high"] == 10.0 + measure_ranges.LEAST["length"]
    factor = measure_ranges.plausible([2.0, 2.0], "factor")
    assert (factor["low"], factor["high"]) == (
        round(2 / measure_ranges.LEAST["factor"], 3),
        round(2 * measure_ranges.LEAST["factor"], 3),
    )
    assert measure_ranges.plausible([0.0, 0.0], "share") == {"high": measure_ranges.LEAST["share"], "n": 2}


def test_shape_of_a_box_by_hand():
    voxels = np.zeros((20, 30, 40), np.uint8)
    voxels[5:15, 10:20, 20:24] = 1
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((-10.0, 0.0, 100.0))
    shape = measure("Box", image)
    assert shape.volume_ml == pytest.approx(10 * 10 * 4 * 6 / 1000)
    np.testing.assert_allclose(shape.centre, (-10 + 21.5, 29.0, 100 + 3 * 9.5))
    np.testing.assert_allclose(shape.extent, (4, 20, 30))
    assert shape.cross_section_mm2 == pytest.approx(80.0)
    assert shape.pieces_ml == (pytest.approx(2.4),)
    assert not shape.faces and not shape.empty_slices
    assert measure("Box", like(image, np.zeros_like(voxels))) is None


def test_measured_from_a_made_up_data_set(tmp_path):
    ct, labelmaps = painted_head()
    tcia = sum(sitk.Cast(labelmaps[name], sitk.sitkUInt8) * value for name, value in measure_ranges.TCIA_LABELS.items())
    openkbp = sum(
        sitk.Cast(labelmaps[name], sitk.sitkUInt8) * value for name, value in measure_ranges.OPENKBP_LABELS.items()
    )
    for scan in ("a", "b"):
        (tmp_path / "tcia-labels" / scan).mkdir(parents=True)
        sitk.WriteImage(tcia, str(tmp_path / "tcia-labels" / scan / "label.nii.gz"))
    patient = tmp_path / "openkbp" / "train" / "pt_1"
    patient.mkdir(parents=True)
    sitk.WriteImage(openkbp, str(patient / "label.nii.gz"))
    sitk.WriteImage(ct, str(patient / "data.nii.gz"))
    context = {"Brainstem": 1.0, "SpinalCord": 1.0, "Parotid_L": 0.9}
    (tmp_path / "openkbp" / "index.json").write_text(json.dumps({"train/pt_1": {"context": context}}), encoding="utf-8")
    assert measure_ranges.main([str(tmp_path), "-o", str(tmp_path / "ranges.json")]) == 0
    measured = json.loads((tmp_path / "ranges.json").read_text(encoding="utf-8"))
    volumes = {name: measured["organs"][name].get("volume_ml") for name in measured["organs"]}
    assert {name: bounds["n"] for name, bounds in volumes.items() if bounds} == {
        "Brainstem": 3, "Parotid_L": 3, "Parotid_R": 2, "Eye_L": 2, "Eye_R": 2
    }  # fmt: skip
    assert measured["organs"]["SpinalCord"]["cross_section_mm2"]["n"] == 2
    assert volumes["Eye_L"]["median"] == pytest.approx(4 / 3 * math.pi * 12.5**3 / 1000, rel=0.05)
    assert measured["pairs"]["Parotid_L Parotid_R"]["offset_mm"]["L"]["median"] == pytest.approx(-118, abs=1)


def test_measuring_without_data_says_so(tmp_path):
    command = [sys.executable, "-m", "tools.measure_ranges", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 2
    assert "holds no tcia-labels" in run.stderr


def test_real_organ_shapes_raise_no_alarm_and_swapped_ones_do(real_data):
    files = sorted((real_data / "tcia-labels").glob("*/label.nii.gz"))
    if not files:
        pytest.skip("no tcia-labels on this machine")
    for file in files[::6]:
        labels = sitk.ReadImage(str(file))
        labelmaps = {name: labels == value for name, value in measure_ranges.TCIA_LABELS.items()}
        hu = np.full(labels.GetSize()[::-1], 40, np.int16)
        hu[:, :40], hu[:, -2:], hu[:, :, :2], hu[:, :, -2:] = -1000, -1000, -1000, -1000
        ct = like(labels, hu)
        assert not any(run_checks(ct, labelmaps, organs()).values()), file.parent.name
        swapped = {**labelmaps, "Parotid_L": labelmaps["Parotid_R"], "Parotid_R": labelmaps["Parotid_L"]}
        findings = run_checks(ct, swapped, organs())
        assert {name for name, sentences in findings.items() if sentences} == {"Parotid_L", "Parotid_R"}, (
            file.parent.name
        )
