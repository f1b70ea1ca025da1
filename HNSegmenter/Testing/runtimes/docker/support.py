"""Real test images, made from a local base image in a second each, and what the Docker tests share."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import docker
from HNSegmenterLib.runtimes.base import JobFolder
from HNSegmenterLib.runtimes.containers import JOB_LABEL

BASE = os.environ.get("HNSEG_TEST_BASE", "hnseg-test-base:bookworm")
REPOSITORY = "hnseg-fault-test"
PARENT = f"{REPOSITORY}:parent"
ENTRY = Path(__file__).with_name("entry.py")

LABELLED = """
FROM {base}
RUN useradd --uid 10001 --no-create-home hnseg && mkdir /data /results && chown 10001:10001 /data /results
COPY entry.py /app/predict.py
LABEL org.hnsegmenter.contract="1" org.hnsegmenter.data="/data" org.hnsegmenter.results="/results"
USER 10001
VOLUME ["/data", "/results"]
ENTRYPOINT ["python3", "/app/predict.py"]
"""
THESIS_LIKE = """
FROM {base}
RUN mkdir -p /home/Ines/HNSegmenter
COPY entry.py /home/Ines/predict.py
ENTRYPOINT ["python3", "/home/Ines/predict.py"]
ENV HNSEG_TEST=thesis
"""


def build(client: docker.APIClient, tag: str, dockerfile: str) -> str:
    """Build an image from a Dockerfile's text beside entry.py; return its tag."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(ENTRY, "entry.py")
        text = dockerfile.encode()
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    context.seek(0)
    for line in client.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True):
        assert "error" not in line, line["error"]
    return tag


def image_of(client: docker.APIClient, way: str) -> str:
    """The test image that behaves in the given way (entry.py)."""
    parent_of(client)
    return child_of(client, way)


def parent_of(client: docker.APIClient) -> str:
    return build(client, PARENT, LABELLED.format(base=BASE))


def child_of(client: docker.APIClient, way: str, more: str = "") -> str:
    """Built on an engine that holds the parent; `more`: further lines of its Dockerfile,
    which give it a tag of its own."""
    tag = f"{REPOSITORY}:{way}" + (f"-{zlib.crc32(more.encode()):08x}" if more else "")
    return build(client, tag, f"FROM {PARENT}\nENV HNSEG_TEST={way}\n{more}")


def remove_images(client: docker.APIClient) -> None:
    """All test images; the base stays."""
    for image in client.images(name=REPOSITORY):
        for tag in image["RepoTags"] or []:
            client.remove_image(tag, force=True)


def small_ct() -> sitk.Image:
    """40 x 36 x 20 voxels, oblique enough that a mixed-up direction shows: soft tissue in air."""
    array = np.full((20, 36, 40), -1000, np.int16)
    array[4:16, 8:28, 10:30] = 40
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.5, 1.25, 3.0))
    image.SetOrigin((-30.0, 12.5, -100.0))
    return image


def make_job(folder: Path, name: str = "img.nii.gz") -> JobFolder:
    job_id = uuid.uuid4().hex
    path = folder / job_id
    job = JobFolder(job_id, path, path / name)
    job.results.mkdir(parents=True)
    sitk.WriteImage(small_ct(), str(job.image))
    return job


def state_of(client: docker.APIClient) -> tuple[set, set]:
    """Names of containers and volumes, to be compared before and after."""
    containers = {item["Id"] for item in client.containers(all=True)}
    volumes = {item["Name"] for item in (client.volumes()["Volumes"] or [])}
    return containers, volumes


def job_containers(client: docker.APIClient) -> list[dict]:
    return client.containers(all=True, filters={"label": JOB_LABEL})


class Recorder:
    """An Emit that keeps events, and can cancel or act when a stage begins."""

    def __init__(self, at: dict | None = None):
        self.events: list = []
        self._at = at or {}

    def __call__(self, event) -> None:
        self.events.append(event)
        if act := self._at.pop(event.stage, None):
            act()

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(event.stage for event in self.events if event.kind == "progress"))

    def messages(self, kind: str) -> list[str]:
        return [event.message for event in self.events if event.kind == kind]
