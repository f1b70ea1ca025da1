"""ONNX Runtime and OpenVINO side by side on the shipped network: time, memory, size.

Every measurement is a fresh process; the engines take turns, so that whatever else the machine does hits both. CPU
seconds are told beside wall seconds, since they change less when it does. Two ways are tried for ONNX Runtime: as
exported, and with the softmax over channels written as exp, sum and division, which it computes faster.

    python runtimes.py [--rounds 5] [--tile 112 128 144] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

NETWORK = Path(__file__).resolve().parents[2] / "docker" / "hn_network" / "model" / "network.onnx"
ENGINES = ("onnxruntime", "onnxruntime, own softmax", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tile", type=int, nargs=3, default=[112, 128, 144], help="z y x")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.tile, options.threads)))
        return
    runs: dict[str, list[dict]] = {engine: [] for engine in ENGINES}
    arguments = ["--tile", *map(str, options.tile), "--threads", str(options.threads)]
    for _ in range(options.rounds):
        for engine in ENGINES:
            command = [sys.executable, __file__, "--one", engine, *arguments]
            runs[engine].append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    for engine, measured in runs.items():
        row = {key: round(median(run[key] for run in measured), 2) for key in measured[0]}
        print(json.dumps({"engine": engine, **row, "installed_mb": installed_mb(engine.split(",")[0])}))


def measure(engine: str, tile: list[int], threads: int) -> dict[str, float]:
    """Medians are taken outside: one process loads the network and runs one tile three times."""
    import resource

    import numpy as np

    image = np.random.default_rng(0).uniform(-1, 1, (1, 1, *tile)).astype(np.float32)
    begin = time.perf_counter()
    run = load_openvino(threads) if engine == "openvino" else load_onnxruntime(threads, "own" in engine)
    loaded = time.perf_counter()
    seconds, cpu_seconds = [], []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        run(image)
        seconds.append(time.perf_counter() - wall)
        cpu_seconds.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "load_s": loaded - begin,
        "first_tile_s": seconds[0],
        "tile_s": min(seconds),
        "tile_cpu_s": min(cpu_seconds),
        "peak_mb": peak,
    }


def load_openvino(threads: int):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(NETWORK, "CPU", settings).create_infer_request()
    return lambda image: request.infer([image], share_inputs=True, share_outputs=True)[0]


def load_onnxruntime(threads: int, own_softmax: bool):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.enable_cpu_mem_arena = False
    network = with_own_softmax(NETWORK) if own_softmax else NETWORK.read_bytes()
    session = onnxruntime.InferenceSession(network, settings, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def with_own_softmax(network: Path) -> bytes:
    """The network with its last node, a softmax over channels, in simpler operators;
    logits are small enough for exp."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(network)
    nodes = model.graph.node
    softmax = next(node for node in nodes if node.op_type == "Softmax")
    nodes.remove(softmax)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "channel_axis"))
    nodes.extend([
        helper.make_node("Exp", [softmax.input[0]], ["exponential"]),
        helper.make_node("ReduceSum", ["exponential", "channel_axis"], ["exponential_sum"], keepdims=1),
        helper.make_node("Div", ["exponential", "exponential_sum"], [softmax.output[0]]),
    ])  # fmt: skip
    return model.SerializeToString()


def installed_mb(package: str) -> float:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    folder = Path(spec.origin).parent
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6)


if __name__ == "__main__":
    main()
