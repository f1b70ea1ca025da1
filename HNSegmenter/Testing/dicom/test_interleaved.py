"""Two scans whose slices lie between one another are refused; one scan with several values of an attribute is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import interleaved, read_planning_ct
from HNSegmenterLib.dicom.find import find_series
from HNSegmenterLib.dicom.geometry import stack
from HNSegmenterLib.errors import UnusableInput
from Testing.phantoms import head_phantom, write_ct_series

SPACING = (5.0, 5.0, 3.0)
HEAD = head_phantom((36, 40, 40), SPACING)
COUNT = len(HEAD)
K = np.arange(COUNT)


def ct(folder: Path, values: dict[str, list], volume: np.ndarray = HEAD, **variations) -> list[Path]:
    """values: attribute -> its value in each slice, None where it is not there."""
    own = {k: {keyword: value[k] for keyword, value in values.items()} for k in range(len(volume))}
    return write_ct_series(folder, volume, SPACING, overrides=own, **variations)


def turns(*values) -> list:
    return [values[k % len(values)] for k in range(COUNT)]


def blocks(*values) -> list:
    return [values[k * len(values) // COUNT] for k in range(COUNT)]


def times(seconds) -> list[str]:
    return [f"12{int(s) // 60:02d}{int(s) % 60:02d}.{round(s % 1 * 100):02d}" for s in np.asarray(seconds, float)]


def after(passes: int, pause: float, way: int = 1) -> np.ndarray:
    """Seconds at which slices were scanned in passes over every second (third, ...) one;
    way -1: each other pass backwards."""
    order = np.where(K % passes % 2 == 1, (K // passes) * way, K // passes)
    return K % passes * pause + 0.4 * (order - order.min())


REFUSED = {
    "acquisitions": ({"AcquisitionNumber": turns(1, 2)}, r"acquisition \(1 and 2\) alternates"),
    "acquisitions of three": ({"AcquisitionNumber": turns(1, 2, 3)}, r"acquisition \(1 and 2 and 3\) alternates"),
    "numbers of their own": (
        {"AcquisitionNumber": [int(1 + k // 2 + 18 * (k % 2)) for k in K]},
        "acquisition alternates",
    ),
    "one time a pass": ({"AcquisitionTime": turns("120000", "121500")}, "acquisition time alternates"),
    "a time for each slice": ({"AcquisitionTime": times(after(2, 60))}, "acquisition time alternates"),
    "there and back": ({"AcquisitionTime": times(after(2, 60, -1))}, "acquisition time alternates"),
    "no pause between passes": ({"AcquisitionTime": times(after(2, 0.4 * COUNT / 2))}, "acquisition time alternates"),
    "three passes": ({"AcquisitionTime": times(after(3, 60))}, "acquisition time alternates"),
    "times with dates": (
        {"AcquisitionDateTime": [f"20260101{text}+0100" for text in times(after(2, 60))]},
        "acquisition date and time alternates",
    ),
    "content times where there are no others": ({"ContentTime": times(after(2, 60))}, "content time alternates"),
    "a time in one pass only": ({"AcquisitionTime": turns("120000", None)}, "acquisition time alternates"),
    "kernels": ({"ConvolutionKernel": turns("H30s", "H60s")}, r"kernel \(H30s and H60s\) alternates"),
    "a kernel in every third slice": ({"ConvolutionKernel": turns("H30s", "H30s", "H60s")}, "kernel .* alternates"),
    "energies": ({"KVP": turns("80", "140")}, r"kV \(140 and 80\) alternates"),
    "contrast": ({"ContrastBolusAgent": turns("Iodine", "")}, "contrast agent alternates"),
    "phases": ({"TemporalPositionIdentifier": turns(1, 2)}, r"temporal position \(1 and 2\) alternates"),
    "cardiac phases": ({"NominalPercentageOfCardiacPhase": turns(30.0, 70.0)}, "phase .* alternates"),
    "descriptions": ({"SeriesDescription": turns("Native", "Venous MILLER")}, "series description alternates"),
    "image types": (
        {"ImageType": turns(["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"])},
        "image type alternates",
    ),
    "series numbers": ({"SeriesNumber": turns(2, 3)}, "series number alternates"),
    "several signs": (
        {
            "AcquisitionNumber": turns(1, 2),
            "AcquisitionTime": times(after(2, 60)),
            "ConvolutionKernel": turns("H30s", "H60s"),
        },
        r"acquisition \(1 and 2\), acquisition time and kernel \(H30s and H60s\) alternate from",
    ),
    "the second one shorter": (
        {"ConvolutionKernel": [("H30s", "H60s")[k % 2] if k < 24 else "H30s" for k in K]},
        "kernel .* alternates",
    ),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED)
def test_what_takes_turns_is_named(tmp_path, values, said):
    ct(tmp_path, values)
    with pytest.raises(
        UnusableInput, match=f"mixes several acquisitions whose slices lie between one another: {said}"
    ) as refusal:
        read_planning_ct(tmp_path)
    assert refusal.value.sentence.endswith("Export each as a series of its own, and choose one.")
    named = refusal.value.sentence.partition(" mixes ")[2]
    assert "MILLER" not in named and "1200" not in named, "what people typed, and times, are not quoted"


ONE_SCAN = {
    "blocks": {
        "AcquisitionNumber": blocks(1, 2),
        "AcquisitionTime": blocks("120000", "121500"),
        "ConvolutionKernel": blocks("H30s", "H60s"),
    },
    "four blocks": {"AcquisitionNumber": blocks(1, 2, 3, 4), "KVP": blocks("120", "100", "120", "100")},
    "blocks in any order": {
        "AcquisitionNumber": blocks(3, 1, 2),
        "AcquisitionTime": blocks("120200", "120000", "120100"),
    },
    "blocks that overlap a little": {"AcquisitionNumber": [1 if k < 16 or k == 17 else 2 for k in K]},
    "a number for each slice": {"AcquisitionNumber": [int(k) for k in K]},
    "numbers downwards": {
        "AcquisitionNumber": [int(COUNT - k) for k in K],
        "AcquisitionTime": times(0.7 * (COUNT - K)),
    },
    "step and shoot": {"AcquisitionTime": times(0.7 * K), "ContentTime": times(3 + 0.7 * K)},
    "four slices a rotation": {"AcquisitionNumber": [int(k // 4) for k in K], "AcquisitionTime": times(1.5 * (K // 4))},
    "four slices a rotation, in two half steps": {"AcquisitionNumber": [int(k // 8 * 2 + k % 2) for k in K]},
    "blocks scanned there and back": {"AcquisitionTime": times(np.r_[0.5 * K[:18], 30 + 0.5 * K[:18][::-1]])},
    "one odd slice": {"ConvolutionKernel": ["H60s" if k == 9 else "H30s" for k in K]},
    "current by dose modulation": {"XRayTubeCurrent": turns(200, 210), "Exposure": turns(100, 105)},
    "content times all over the place": {
        "ContentTime": times(np.random.default_rng(1).permutation(COUNT)),
        "AcquisitionTime": times(0 * K),
    },
    "times of writing, in whole seconds": {"AcquisitionTime": times(np.random.default_rng(3).integers(0, 2, COUNT))},
    "content times of two that reconstruct": {"AcquisitionTime": times(0 * K), "ContentTime": times(after(2, 60))},
}


@pytest.mark.parametrize("values", ONE_SCAN.values(), ids=ONE_SCAN)
def test_one_scan_stays_one(tmp_path, values):
    ct(tmp_path, values)
    found = read_planning_ct(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.image), HEAD)
    assert not found.warnings


def two_passes(volume: np.ndarray, aside: int) -> np.ndarray:
    """Slices half-way between in a second pass, the patient some pixels further left in it."""
    both = np.repeat(volume, 2, axis=0)[:-1]
    both[1::2] = np.roll((volume[:-1].astype(int) + volume[1:]) // 2, aside, axis=2)
    return both


def phases(volume: np.ndarray) -> np.ndarray:
    moved = volume.copy()
    moved[1::3], moved[2::3] = np.roll(volume[1::3], 2, axis=2), np.roll(volume[2::3], -2, axis=1)
    return moved


def unlikeness(folder: Path, volume: np.ndarray, spacing) -> float:
    write_ct_series(folder, volume, spacing)
    return interleaved.unlikeness(stack(find_series(folder).series[0].headers), volume)


@pytest.mark.parametrize("make", [lambda hu: two_passes(hu, 2), phases], ids=["two passes", "three phases"])
def test_pixels_tell_where_no_attribute_does(tmp_path, make: Callable):
    both = make(HEAD)
    write_ct_series(tmp_path, both, (5.0, 5.0, 3.0 * COUNT / len(both)))
    with pytest.raises(
        UnusableInput, match=r"mixes several acquisitions .* every slice is less like its neighbours than these are"
    ):
        read_planning_ct(tmp_path)


@pytest.mark.parametrize("aside", [0, 1])
def test_the_order_of_making_decides_where_pixels_hardly_do(tmp_path, aside):
    both = two_passes(HEAD, aside)
    halves = [{"InstanceNumber": int(1 + k // 2 + COUNT * (k % 2))} for k in range(len(both))]
    write_ct_series(tmp_path, both, (5.0, 5.0, 1.5), overrides=dict(enumerate(halves)))
    if aside:
        with pytest.raises(UnusableInput, match="mixes several acquisitions"):
            read_planning_ct(tmp_path)
    else:
        assert len(read_planning_ct(tmp_path).slices) == len(both)


def test_noise_alone_makes_no_second_scan(tmp_path):
    noise = np.random.default_rng(0).normal(0, 150, HEAD.shape)
    assert 0.6 < unlikeness(tmp_path, HEAD + noise, SPACING) < interleaved.NEITHER


def test_scans_of_real_patients(tmp_path, real_data):
    """As they are, and with every half-way slice of a second pass one pixel aside."""
    for number, path in enumerate(sorted((real_data / "openkbp" / "validation").glob("*/data.nii.gz"))[::4]):
        image = sitk.ReadImage(str(path))
        volume, spacing = sitk.GetArrayFromImage(image).astype(np.int16), image.GetSpacing()
        assert unlikeness(tmp_path / f"{number}", volume, spacing) < 0.75
        assert unlikeness(tmp_path / f"{number} twice", two_passes(volume, 1), spacing) > interleaved.FAR
