"""Two networks against the reference and each other."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hn_training.config import Config, ConfigError
from hn_training.scoring import limits


def write(folder: Path, mask: np.ndarray) -> None:
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8).T, np.diag([-4.0, -4.0, 3.0, 1.0])), folder / "Brainstem.nii.gz")


def test_networks_that_agree_and_stop_elsewhere_than_the_reference(dataset: Config, tmp_path):
    """The reference is a ball of slices 7 to 17; both networks draw its middle five slices, and one of them shifted."""
    z, y, x = np.ogrid[:24, :32, :32]
    ball = (z - 12) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 36
    middle = ball & (abs(z - 12) <= 2)
    for patient in ("pt_1", "pt_2"):
        write(tmp_path / "one" / patient / "segmentations", middle)
        write(tmp_path / "two" / patient / "segmentations", middle if patient == "pt_1" else np.roll(middle, 2, axis=2))
    (row,) = limits.rows(dataset, tmp_path / "one", tmp_path / "two")
    organ, patients, one, two, both, correlation, ends, far, apart = row
    assert (organ, patients) == ("Brainstem", 2)
    first = limits.dice(middle, ball)
    unsound = np.arange(24) != 11  # of the second patient
    assert one == pytest.approx((first + limits.dice(middle[unsound], ball[unsound])) / 2)
    assert two < one and 0.8 < both < 1 and np.isfinite(correlation)
    assert ends == pytest.approx(1.0)
    assert far == pytest.approx(9.0)  # the ball's poles lie three slices of 3 mm beyond
    assert apart == pytest.approx((0 + 8) / 2)  # 2 voxels of 4 mm in one of two patients


def test_an_organ_that_was_not_found_agrees_with_nothing(dataset: Config, tmp_path):
    for patient in ("pt_1", "pt_2"):
        (tmp_path / "none" / patient / "segmentations").mkdir(parents=True)
    (row,) = limits.rows(dataset, tmp_path / "none", tmp_path / "none")
    assert row[:5] == ("Brainstem", 2, 0, 0, 0) and row[6] == 0 and np.isinf(row[7:]).all()
    assert "| Brainstem | 2 | 0.000 |" in limits.markdown([row])


def test_a_folder_without_the_patients_is_refused(dataset: Config, tmp_path):
    with pytest.raises(ConfigError, match="has no folder pt_1"):
        limits.rows(dataset, tmp_path / "elsewhere", tmp_path / "elsewhere")
