"""The network: OpenVINO on the CPU in float32."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import openvino

from .errors import DamagedModel

LISTEN_MS = 100  # a tile may take many seconds: so often it is seen whether the run is to stop


class Network:
    """A compiled network; `threads` of the CPU, float32 whatever the CPU could do faster."""

    def __init__(self, content: bytes, threads: int, tile: tuple[int, int, int] | None = None):
        """content: ONNX; tile: the size [z, y, x] of every tile, where it is known. Raises DamagedModel."""
        core = openvino.Core()
        try:
            network = core.read_model(content)
            if tile is not None:
                network.reshape([1, 1, *tile])
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

    def channels(self) -> int | None:
        """How many the network has; None if that is only known after a tile."""
        channels = self.compiled.outputs[0].partial_shape[1]
        return channels.get_length() if channels.is_static else None

    def tile(self, image: np.ndarray) -> np.ndarray:
        """Channels (channels, z, y, x) of one tile [z, y, x], contiguous; valid until the next call."""
        self.request.start_async([image[None, None]], share_inputs=True)
        try:
            while not self.request.wait_for(LISTEN_MS):
                pass
        except BaseException:
            self.request.cancel()
            raise
        return self.request.get_output_tensor(0).data[0]


def cpu_name(fallback: str) -> str:
    """The processor's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return fallback or platform.processor() or platform.machine()
