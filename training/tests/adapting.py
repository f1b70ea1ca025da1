"""What the tests of adapting share: made-up patients, contoured by two hands. conftest.py makes fixtures of them."""

import dataclasses
import json

import nibabel as nib
import numpy as np

AFFINE = np.diag([-4.0, -4.0, 3.0, 1.0])


def ball(radius_mm, shape=(24, 32, 32), spacing=(3, 4, 4), centre_mm=(36, 64, 64)):
    """bool (z, y, x)."""
    z, y, x = (np.arange(n) * mm - c for n, mm, c in zip(shape, spacing, centre_mm))
    return z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius_mm**2


def save(volume, path, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(volume.T, affine), path)


def write_patient(folder, number):
    """A brainstem by hand "a", finer than the CT and on a grid of its own, and by hand "b"."""
    tissue = 40 * np.ones((24, 32, 32), np.int16) + 60 * ball(24).astype(np.int16)
    tissue[:, :4] = tissue[:, -4:] = -1000
    save(tissue + number, folder / "data.nii.gz")
    save(3 * ball(20).astype(np.uint8), folder / "a.nii.gz")
    fine = 3 * ball(20, (40, 50, 50), (1.5, 2, 2), (36 - 9, 64 - 20, 64 - 20)).astype(np.uint8)
    affine = np.diag([-2.0, -2.0, 1.5, 1.0])
    affine[:3, 3] = [-20, -20, 9]
    save(fine, folder / "a_fine.nii.gz", affine)
    save(3 * ball(26).astype(np.uint8), folder / "b.nii.gz")


def write_toml(chosen, path):
    tables = dataclasses.asdict(chosen)
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]"] + [f"{name} = {toml(value)}" for name, value in values.items()]
    path.write_text("\n".join(lines))


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
