"""One run: read, preprocess, network, postprocess, write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import contract
from .drawing import Drawing, write_organs
from .files.nifti import Scan, read_scan
from .model import CONTRACT, Model, load_model
from .network import Network
from .nnunet import method as nnunet
from .nnunet.rules import Rules
from .own import method as own

RESULT = "result.json"


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
    clock.method = model.method
    drawing = _draw(scan, model, network, clock)
    clock.start("write")
    organs, warnings = write_organs(output, scan, drawing, model.organs, threads)
    for sentence in warnings:
        contract.warning(sentence)
    result = {
        "contract": CONTRACT,
        "model": model.describe(),
        "runtime": network.describe(),
        "input": {"size": list(scan.voxels.shape[::-1]), "spacing_mm": [round(float(mm), 6) for mm in scan.spacing]},
        "organs": organs,
        "timings_s": clock.result(),
        "warnings": [*scan.warnings, *warnings],
    }
    contract.write_result(output / RESULT, result)
    contract.done(RESULT)


def _load(folder: Path, threads: int) -> tuple[Model, Network]:
    model = load_model(folder)
    rules = model.preprocessing
    return model, Network(model.network, threads, rules.patch if isinstance(rules, Rules) else None)


def _draw(scan: Scan, model: Model, network: Network, clock: contract.Clock) -> Drawing:
    """Preprocess, network and postprocess, by the model's method."""
    rules = model.preprocessing
    if isinstance(rules, Rules):
        return nnunet.draw(scan, model.organs, rules, network, clock)
    return own.draw(scan, model.organs, rules, network, clock)
