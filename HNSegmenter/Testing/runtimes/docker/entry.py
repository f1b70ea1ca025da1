"""Entry of the test images: keeps container contract 1, or breaks it in the way that HNSEG_TEST names.

Runs inside the container with Python's standard library only; see support.py.
"""

import gzip
import json
import os
import struct
import sys
import time
from pathlib import Path

WAY = os.environ["HNSEG_TEST"]


def say(kind, **fields):
    print(json.dumps({"event": kind, **fields}), flush=True)


def argument(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def read_ct(path):
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
        return file.read()


def labelmap_like(ct):
    """A NIfTI file of uint8 on the CT's grid, 1 where the CT (int16, unscaled) is above -500 HU."""
    header = bytearray(ct[:352])
    struct.pack_into("<hh", header, 70, 2, 8)  # datatype uint8, 8 bits
    voxels = struct.unpack(f"<{(len(ct) - 352) // 2}h", ct[352:])
    return bytes(header) + bytes(value > -500 for value in voxels)


def write_results(folder, ct):
    labelmap = labelmap_like(ct)
    with gzip.open(folder / "Brainstem.nii.gz", "wb", 1) as file:
        file.write(labelmap)
    voxels = sum(labelmap[352:])
    organ = {"name": "Brainstem", "file": "Brainstem.nii.gz", "label": 1, "color": [0, 158, 115], "code": None}
    organ |= {"laterality": None, "status": "found", "voxels": voxels, "volume_ml": voxels / 1000}
    result = {"contract": 1, "model": {"name": "test", "version": "0", "digest": "sha256:0"}, "organs": [organ]}
    result |= {"runtime": {}, "input": {}, "timings_s": {}, "warnings": []}
    (folder / "result.json").write_text(json.dumps(result))


def thesis(ct):
    """As the thesis's image: fixed folders, no event, no result.json, names of its own."""
    folder = Path("/home/Ines/HNSegmenter/tmp/segmentations")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ojo_izquierdo", "RightEye", "tronco", "medula", "parotida_izq", "parotid_r", "mystery"):
        with gzip.open(folder / f"{name}.nii.gz", "wb", 1) as file:
            file.write(labelmap_like(ct))


def main():  # noqa: C901 - a branch for each way
    path = argument("--path")
    ct = read_ct(path)
    if WAY == "thesis":
        assert path == "/home/Ines/data/img.nii.gz", path
        thesis(ct)
        return
    folder = Path(argument("--output"))
    say("progress", stage="read", fraction=0.1)
    print("a library's chatter that is no event")
    if WAY == "late":
        time.sleep(2)
    elif WAY == "slow":
        time.sleep(600)
    elif WAY == "unusable":
        say("error", message="The image has only 3 slices: give the whole planning CT.")
        sys.exit(2)
    elif WAY == "fault":
        say("error", message="The model is damaged")
        sys.exit(3)
    elif WAY == "silent":
        sys.exit("something odd happened")
    elif WAY == "memory":
        hog = [bytearray(1 << 20) for _ in range(4096)]
        hog[0][0] = 1
    elif WAY == "full":
        with (folder / "ballast").open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
    elif WAY == "big":
        (folder / "big.bin").write_bytes(os.urandom(64 << 20))
    elif WAY == "link":
        (folder / "Eye_L.nii.gz").symlink_to("/etc/passwd")
    write_results(folder, ct)
    if WAY == "badjson":
        (folder / "result.json").write_text('{"contract": 1,')
    elif WAY == "contract2":
        (folder / "result.json").write_text('{"contract": 2}')
    elif WAY == "incomplete":
        (folder / "Brainstem.nii.gz").unlink()
    say("warning", message="This is a test image.")
    say("progress", stage="write", fraction=1.0)
    say("done", result="result.json")


main()
