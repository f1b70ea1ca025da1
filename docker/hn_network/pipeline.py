"""One run: read, preprocess, network, postprocess, write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from . import contract, postprocess, preprocess
from .files.labelmap import write_labelmap
from .files.nifti import Scan, read_scan
from .model import CONTRACT, Model, Organ, load_model
from .network import Network, segment
from .parts import parts_of_organ
from .postprocess import Component
from .preprocess import NetworkInput

RESULT = "result.json"
CUT = "{} reaches a plane within the image beyond which nothing was measured: it may be incomplete."


def run(image: Path, output: Path, model_folder: Path, threads: int, clock: contract.Clock) -> None:
    """Segment one CT; result.json is written last. Raises Failure, OSError or MemoryError.

    clock: runs already, in the stage "read", so that loading the libraries is counted.
    """
    (output / RESULT).unlink(missing_ok=True)
    with ThreadPoolExecutor(1) as aside:  # the network compiles while the CT is read
        loading = aside.submit(_load, model_folder, threads)
        scan = read_scan(image)
        for sentence in scan.warnings:
            contract.warning(sentence)
        model, network = loading.result()
    clock.start("preprocess")
    prepared = preprocess.prepare(scan, model.preprocessing, threads)
    clock.start("network")
    air = preprocess.scaled_air(model.preprocessing)
    found = segment(network, model, prepared.image, prepared.body, air, lambda part: contract.progress("network", part))
    clock.start("postprocess")
    steps = np.diag(model.preprocessing.spacing_mm)[::-1]
    components = {
        organ.name: postprocess.component_of(organ, found[organ.channel], prepared.box, steps)
        for organ in model.organs
        if organ.channel is not None
    }
    del found
    clock.start("write")
    with ThreadPoolExecutor(threads) as pool:
        organs = list(pool.map(lambda o: _write(output, scan, prepared, o, components.get(o.name)), model.organs))
    cut = [CUT.format(organ.name) for organ, (_, is_cut) in zip(model.organs, organs) if is_cut]
    for sentence in cut:
        contract.warning(sentence)
    result = {
        "contract": CONTRACT,
        "model": model.describe(),
        "runtime": network.describe(),
        "input": {"size": list(scan.voxels.shape[::-1]), "spacing_mm": [round(float(mm), 6) for mm in scan.spacing]},
        "organs": [entry for entry, _ in organs],
        "timings_s": clock.result(),
        "warnings": [*scan.warnings, *cut],
    }
    contract.write_result(output / RESULT, result)
    contract.done(RESULT)


def _load(folder: Path, threads: int) -> tuple[Model, Network]:
    model = load_model(folder)
    return model, Network(model, threads)


def _write(
    output: Path, scan: Scan, prepared: NetworkInput, organ: Organ, component: Component | None
) -> tuple[dict, bool]:
    """Restore and write one organ; its entry in result.json, and whether a cut within the image ends it."""
    if organ.channel is None:
        return contract.organ_entry(organ, None, "not in this model", 0, 0.0), False
    mask, box = prepared.grid.restore(component.probability, component.box) if component else (None, None)
    is_cut = False
    if mask is not None and box is not None:
        void = None if prepared.void is None else prepared.void[box]
        is_cut = void is not None and bool(mask[void].any())
        if void is not None and is_cut:
            mask = parts_of_organ((mask == 1) & ~void, organ, prepared.canonical.steps(scan.affine))
        elif postprocess.is_speck(mask, box, prepared.canonical.view(scan.voxels).shape, scan.voxel_ml):
            mask = None
    file = f"{organ.name}.nii.gz"
    voxels = write_labelmap(output / file, scan, prepared.canonical, mask, box)
    status = "found" if voxels else "not found"
    return contract.organ_entry(organ, file, status, voxels, voxels * scan.voxel_ml), is_cut and mask is not None
