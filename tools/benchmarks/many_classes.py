"""Memory and time of predict.py with an nnU-Net of many classes on a large CT: what docs/container.md says of it.

    python -m tools.benchmarks.many_classes                     # 117 organs and background, 512 x 512 x 300
    python -m tools.benchmarks.many_classes --classes 16 --size 256 256 100 --patch 64 96 96

Network and patient are made up: a U-Net of nnU-Net's usual shape (convolutions of 3 x 3 x 3 in twos, instance
normalisation, leaky ReLU, transposed convolutions) with random weights, so that every class is found nearly everywhere,
which no trained network does: the way from its classes to labels takes longer here than it ever would.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

PREDICT = Path(__file__).resolve().parents[2] / "docker" / "predict.py"
FEATURES = (32, 64, 128, 256, 320, 320)  # of nnU-Net's plans for a patch of 128 x 128 x 128


class UNet:
    """Builds the graph, node by node."""

    def __init__(self, seed: int = 0):
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def _add(self, kind: str, inputs: list[str], weights: list[np.ndarray], **attributes) -> str:
        name = f"n{len(self.nodes)}"
        names = [f"{name}_{number}" for number in range(len(weights))]
        self.weights += [numpy_helper.from_array(value, own) for own, value in zip(names, weights)]
        self.nodes.append(helper.make_node(kind, [*inputs, *names], [name], **attributes))
        return name

    def _normal(self, *shape: int) -> np.ndarray:
        return (self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def block(self, image: str, channels: int, features: int, stride: int = 1) -> str:
        """Two convolutions, the first with the stride."""
        for number, (before, step) in enumerate(((channels, stride), (features, 1))):
            weights = [self._normal(features, before, 3, 3, 3), np.zeros(features, np.float32)]
            image = self._add("Conv", [image], weights, kernel_shape=[3] * 3, pads=[1] * 6, strides=[step] * 3)
            scale = [np.ones(features, np.float32), np.full(features, 0.1 * number, np.float32)]
            image = self._add("InstanceNormalization", [image], scale)
            image = self._add("LeakyRelu", [image], [], alpha=0.01)
        return image

    def graph(self, classes: int, features: tuple[int, ...]) -> onnx.ModelProto:
        image, channels, skipped = "image", 1, []
        for stage, count in enumerate(features):
            image, channels = self.block(image, channels, count, 2 if stage else 1), count
            skipped.append(image)
        for count, skip in zip(features[-2::-1], skipped[-2::-1]):
            up = [self._normal(channels, count, 2, 2, 2) * 4, np.zeros(count, np.float32)]
            image = self._add("ConvTranspose", [image], up, kernel_shape=[2] * 3, strides=[2] * 3)
            image = self.block(self._add("Concat", [image, skip], [], axis=1), 2 * count, count)
            channels = count
        last = [self._normal(classes, channels, 1, 1, 1) * 8, np.zeros(classes, np.float32)]
        output = self._add("Conv", [image], last, kernel_shape=[1] * 3)
        free: list[int | str] = ["z", "y", "x"]
        graph = helper.make_graph(
            self.nodes, "u-net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, *free])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, classes, *free])], self.weights,
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_model(folder: Path, options: argparse.Namespace) -> None:
    folder.mkdir()
    onnx.save(UNet().graph(options.classes + 1, FEATURES[: options.stages]), folder / "network.onnx")
    organs = [
        {"name": f"Organ{n}", "channel": n, "label": n, "color": [n, n, n], "in_model": True}
        for n in range(1, options.classes + 1)
    ]
    about = {
        "contract": 1, "name": "many-classes", "version": "0", "method": "nnunet", "output": "labels",
        "preprocessing": {
            "axes": "LPS", "transpose": [0, 1, 2], "spacing_mm": options.network_spacing, "patch": options.patch,
            "hu_clip": [-1000, 1000], "hu_shift": -50, "hu_scale": 400, "image_order": 3, "image_order_z": 0,
            "logits_order": 1, "logits_order_z": 0, "separate_z": None, "anisotropy": 3.0, "step": options.step,
            "mirror_axes": [0, 1, 2], "mirroring": False,
        },
    }  # fmt: skip
    (folder / "organs.json").write_text(json.dumps({"organs": organs}))
    (folder / "model.json").write_text(json.dumps(about))
    names = ("model.json", "network.onnx", "organs.json")
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))


def write_ct(path: Path, options: argparse.Namespace) -> None:
    """A noisy egg of soft tissue in air."""
    random = np.random.default_rng(1)
    voxels = np.full(options.size, -1000, np.int16)
    x, y = (np.linspace(-1, 1, n) for n in options.size[:2])
    for k, z in enumerate(np.linspace(-1, 1, options.size[2])):
        voxels[..., k] += np.int16(1040) * ((x[:, None] / 0.6) ** 2 + (y / 0.7) ** 2 + (z / 1.1) ** 2 < 1)
        voxels[..., k] += random.normal(0, 20, options.size[:2]).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([-options.spacing[0], -options.spacing[1], options.spacing[2], 1])), path)


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run it; wall and CPU seconds, and the highest resident memory in GB, looked at fifty times a second."""
    begin, highest = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        said = threading.Thread(target=lambda: [print(line, end="", flush=True) for line in process.stdout or ()])
        said.start()
        while process.poll() is None:
            try:
                highest = max(highest, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        said.join()
    if process.returncode:
        sys.exit(f"predict.py ended with {process.returncode}.")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime, highest / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and time of predict.py with an nnU-Net of many classes.")
    parser.add_argument("--classes", type=int, default=117)
    parser.add_argument("--size", type=int, nargs=3, default=[512, 512, 300], help="voxels of the CT")
    parser.add_argument("--spacing", type=float, nargs=3, default=[0.98, 0.98, 1.0], help="of the CT, mm")
    parser.add_argument("--network-spacing", type=float, nargs=3, default=[1.5, 1.5, 1.5], help="mm")
    parser.add_argument("--patch", type=int, nargs=3, default=[128, 128, 128])
    parser.add_argument("--stages", type=int, default=6, help="of the U-Net; 6 with 32 features in the first is usual")
    parser.add_argument("--step", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model", options)
        write_ct(folder / "ct.nii", options)
        command = [sys.executable, str(PREDICT), "--path", str(folder / "ct.nii"), "--output", str(folder / "out"),
                   "--model", str(folder / "model"), "--threads", str(options.threads)]  # fmt: skip
        seconds, cpu_seconds, gigabytes = measure(command)
        result = json.loads((folder / "out" / "result.json").read_text())
    print(f"{seconds:.0f} s ({cpu_seconds:.0f} CPU s), at most {gigabytes:.2f} GB; {result['timings_s']}")


if __name__ == "__main__":
    main()
