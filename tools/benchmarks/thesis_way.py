"""The thesis's way, to compare with: six two-class networks in a row, each from the CT's file to its labelmap's.

Every one loads the CT, resamples the whole of it to 144 x 144 x 144, runs a two-class network, restores both classes'
whole volume linearly to the CT's grid and writes the labelmap, as NiftyNet's resize aggregator does
(scipy.ndimage.zoom). The two-class network is ours cut to two outputs, in the same runtime; the thesis's is a
DenseVNet. What it finds is of no interest here.

    python thesis_way.py CT.nii.gz OUTPUT_FOLDER      prints one JSON line with the seconds of each stage
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import onnx
import openvino
from onnx import numpy_helper
from scipy.ndimage import zoom

ORGANS = 6
GRID = (144, 144, 144)
MODEL = Path(__file__).resolve().parents[2] / "docker" / "hn_network" / "model" / "network.onnx"


def two_class_network(path: Path) -> bytes:
    """The network with two of its output channels: of the last convolution and of what is done to its output."""
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    classes = tensors[last.input[1]].dims[0]
    for tensor in tensors.values():
        values = numpy_helper.to_array(tensor)
        if classes in tensor.dims:
            values = np.take(values, (0, 1), axis=list(tensor.dims).index(classes))
        elif values.dtype == np.int64 and values.tolist() == [1, classes]:  # what the resize keeps
            values = np.array([1, 2])
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    del model.graph.value_info[:]
    return model.SerializeToString()


def main(path: str, output: str) -> None:
    seconds = dict.fromkeys(("load", "resample", "network", "restore", "write"), 0.0)
    network = two_class_network(MODEL)
    core = openvino.Core()
    for organ in range(ORGANS):
        clock = time.perf_counter()

        def lap(stage: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            seconds[stage] += now - clock
            clock = now

        image = nibabel.load(path)
        assert isinstance(image, nibabel.Nifti1Image)  # the other program wrote it so
        volume = image.get_fdata(dtype=np.float32)
        lap("load")
        factors = [new / old for new, old in zip(GRID, volume.shape, strict=True)]
        small = np.clip((zoom(volume, factors, order=1) - 100) / 500, -1, 1)
        lap("resample")
        compiled = core.compile_model(core.read_model(network), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        tensor = np.ascontiguousarray(small.transpose(2, 1, 0))[None, None]
        probabilities = compiled(tensor)[0]
        lap("network")
        back = [1 / factor for factor in factors]
        both = [zoom(channel.transpose(2, 1, 0), back, order=1) for channel in probabilities[0]]
        labelmap = (both[1] > both[0]).astype(np.uint8)
        lap("restore")
        nibabel.save(nibabel.Nifti1Image(labelmap, image.affine), Path(output) / f"organ_{organ}.nii.gz")
        lap("write")
    print(json.dumps({stage: round(value, 2) for stage, value in seconds.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
