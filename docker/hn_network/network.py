"""The network: OpenVINO on the CPU in float32."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from .errors import DamagedModel
from .model import Model
from .tiles import Blend, plan

LEAST_BODY_SHARE = 0.001  # tiles with less body are air: the network does not see them


class Network:
    """A compiled network; `threads` of the CPU, float32 whatever the CPU could do faster."""

    def __init__(self, model: Model, threads: int):
        core = openvino.Core()
        try:
            network = core.read_model(model.network)
            self.compiled = core.compile_model(
                network,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": threads,
                    "PERFORMANCE_HINT": "LATENCY",
                    "ENABLE_CPU_PINNING": False,
                },
            )
            self.request = self.compiled.create_infer_request()
        except RuntimeError as error:
            raise DamagedModel("The network can't be loaded: install the model again.") from error
        self.precision = {"f32": "float32"}.get(
            self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(), "unknown"
        )
        self.cpu = core.get_property("CPU", "FULL_DEVICE_NAME")
        self.threads = threads

    def describe(self) -> dict:
        engine = f"openvino {openvino.__version__.split('-')[0]}"
        return {"engine": engine, "precision": self.precision, "threads": self.threads, "cpu": cpu_name(self.cpu)}

    def tile(self, image: np.ndarray) -> np.ndarray:
        """Probabilities (classes, z, y, x) of one tile [z, y, x]; valid until the next call."""
        return self.request.infer([image[None, None]], share_inputs=True, share_outputs=True)[0][0]


def segment(
    network: Network, model: Model, image: np.ndarray, body: np.ndarray, air: float, progress: Callable[[float], None]
) -> dict[int, np.ndarray]:
    """Probability [z, y, x] of every channel that an organ of the model uses.

    image: float32 [z, y, x], scaled; body: bool, same shape; air: the scaled value that pads a tile.
    """
    channels = sorted({organ.channel for organ in model.organs if organ.channel is not None})
    rules = model.preprocessing
    tiles = plan(image.shape, rules.patch, rules.multiple, rules.overlap)
    boxes = [box for box in tiles.boxes if body[box].mean() > LEAST_BODY_SHARE]
    blend = Blend(len(channels), image.shape, tiles.size)
    for number, box in enumerate(boxes):
        part = image[box]
        tile = np.full(tiles.size, air, np.float32)
        inner = tuple(slice(0, n) for n in part.shape)
        tile[inner] = part
        found = network.tile(tile)
        if max(channels) >= len(found):
            raise DamagedModel("The network has fewer outputs than organs.json says: install the model again.")
        chosen: tuple[Any, ...] = (channels, *inner)
        blend.add(found[chosen], box)
        progress((number + 1) / len(boxes))
    return dict(zip(channels, blend.result()))


def cpu_name(fallback: str) -> str:
    """The processor's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return fallback or platform.processor() or platform.machine()
