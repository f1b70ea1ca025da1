"""Which image may run, and how it comes onto a real engine: from a file, from sources, from a registry."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import docker
from HNSegmenterLib import __version__
from HNSegmenterLib.errors import Cancelled, EngineFault, WrongUsage
from HNSegmenterLib.events import CancelToken, ignore
from HNSegmenterLib.runtimes import image_build, image_store, images
from HNSegmenterLib.runtimes.images import Reference
from HNSegmenterLib.settings import Settings
from Testing.machine import require_program, wait_for
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.registry import LABELS, Registry, make_layer
from Testing.runtimes.docker.support import BASE, PARENT, REPOSITORY, THESIS_LIKE, Recorder, build, child_of, image_of

docker_test = pytest.mark.docker


@pytest.mark.parametrize(
    ("name", "thesis"),
    [
        ("inesmunoz/hn-segmenter", True),
        ("inesmunoz/hn-segmenter:v2", True),
        ("inesmunoz/hn-segmenter@sha256:" + "a" * 64, True),
        ("docker.io/inesmunoz/hn-segmenter", True),
        ("inesmunoz/hn-segmenter-2", False),
        ("other/inesmunoz/hn-segmenter", False),
        ("registry.example:5000/inesmunoz/hn-segmenter", False),
        ("hn-segmenter", False),
    ],
)
def test_only_the_repository_makes_the_thesis_image(name, thesis):
    assert Reference.parse(name).is_thesis is thesis


def test_parts_of_a_reference():
    digest = "sha256:" + "0" * 64
    assert Reference.parse(f"host:5000/a/b:1@{digest}") == Reference("host:5000/a/b", "1", digest)
    assert Reference.parse(digest) == Reference("", None, digest)


@pytest.mark.parametrize("name", ["", "Upper", "a b", "name:", "name@sha256:12", "-x", "a//b", "$(id)"])
def test_what_is_no_reference(name):
    with pytest.raises(WrongUsage, match="no name of an image"):
        Reference.parse(name)


@docker_test
class TestRule:
    def test_labelled(self, engine):
        info = images.inspect(engine, image_of(engine.client, "ok"))
        assert (info.contract, info.data, info.results, info.user) == ("1", "/data", "/results", "10001")

    def test_thesis_by_its_name_or_by_hand(self, engine):
        tag = build(engine.client, f"{REPOSITORY}:thesis", THESIS_LIKE.format(base=BASE))
        with pytest.raises(EngineFault, match=r"no image of HN Segmenter .*--contract thesis"):
            images.inspect(engine, tag)
        assert images.inspect(engine, tag, "thesis").contract == "thesis"
        name = "inesmunoz/hn-segmenter:imitation"
        engine.client.tag(tag, "inesmunoz/hn-segmenter", "imitation")
        try:
            info = images.inspect(engine, name)
            assert info.contract == "thesis"
            assert info.results == "/home/Ines/HNSegmenter/tmp/segmentations"
            with pytest.raises(EngineFault, match=r"no label org.hnsegmenter.contract"):
                images.inspect(engine, name, "1")
        finally:
            engine.client.remove_image(name)

    def test_missing(self, engine):
        with pytest.raises(EngineFault) as caught:
            images.inspect(engine, "hnseg-nowhere:1")
        for way in ("image load FILE", "image build", "image pull hnseg-nowhere:1", "--runtime local"):
            assert way in caught.value.sentence

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            ('LABEL org.hnsegmenter.contract="2"', "container contract 2, this client knows 1"),
            ('LABEL org.hnsegmenter.data=""', "no usable label org.hnsegmenter.data"),
            ('LABEL org.hnsegmenter.results="results"', "no usable label org.hnsegmenter.results"),
            ('LABEL org.hnsegmenter.results="/results/../etc"', "no usable label"),
            ('LABEL org.hnsegmenter.results="/elsewhere"', "no VOLUME /elsewhere"),
            ("USER root", "runs as root"),
            ("USER 0:10001", "runs as root"),
        ],
    )
    def test_wrong(self, engine, lines, words):
        image_of(engine.client, "ok")
        tag = child_of(engine.client, "wrong", lines + "\n")
        with pytest.raises(EngineFault) as caught:
            images.inspect(engine, tag)
        assert words in caught.value.sentence

    def test_unknown_contract_by_hand(self, engine):
        with pytest.raises(WrongUsage, match="write 1 or thesis"):
            images.inspect(engine, BASE, "3")

    def test_digest_pins_an_image_that_came_from_a_file(self, engine):
        info = images.inspect(engine, image_of(engine.client, "ok"))
        assert info.pinned == f"{REPOSITORY}:ok@{info.id}"
        assert images.inspect(engine, info.pinned).id == info.id
        assert images.inspect(engine, info.id).id == info.id
        other = f"{REPOSITORY}:ok@sha256:" + "0" * 64
        with pytest.raises(EngineFault, match="000000000000 is asked for"):
            images.inspect(engine, other)


SMALL = f"{REPOSITORY}:small"
CHANGES = [*(f"LABEL {name}={value}" for name, value in LABELS.items()), "USER 10001", 'VOLUME ["/data", "/results"]']


@pytest.fixture(scope="module")
def small(engine):
    """An image of contract 1 that holds 20 MB of random bytes and cannot run."""
    engine.client.import_image_from_data(
        make_layer("file", 20 << 20), repository=REPOSITORY, tag="small", changes=CHANGES
    )
    return SMALL


@pytest.fixture(scope="module")
def saved(engine, small, tmp_path_factory):
    """It, written to a file by us."""
    file = tmp_path_factory.mktemp("saved") / "image.tar"
    recorder = Recorder()
    image_store.save(engine, small, file, recorder, CancelToken())
    assert recorder.stages == ["save"]
    assert [path.name for path in file.parent.iterdir()] == ["image.tar"]
    return file


@docker_test
@pytest.mark.usefixtures("nothing_left")
class TestFile:
    def test_save_and_load(self, engine, saved):
        tag = SMALL
        before = engine.client.inspect_image(tag)["Id"]
        engine.client.remove_image(tag)
        recorder = Recorder()
        assert image_store.load(engine, saved, recorder, CancelToken()) == [tag]
        assert engine.client.inspect_image(tag)["Id"] == before
        fractions = [event.fraction for event in recorder.events]
        assert fractions == sorted(fractions) and len(fractions) > 10 and fractions[-1] <= 1
        assert recorder.events[-1].message.endswith("MB")

    def test_load_gzip(self, engine, saved, tmp_path):
        packed = tmp_path / "image.tar.gz"
        with gzip.open(packed, "wb", 1) as target:
            target.write(saved.read_bytes())
        assert image_store.load(engine, packed, ignore, CancelToken()) == [SMALL]

    def test_cancel(self, engine, saved):
        cancel = CancelToken()
        with pytest.raises(Cancelled):
            image_store.load(engine, saved, lambda event: cancel.cancel(), cancel)

    def test_half_a_file(self, engine, saved, tmp_path):
        half = tmp_path / "half.tar"
        half.write_bytes(saved.read_bytes()[: 2 << 20])
        with pytest.raises(EngineFault, match=r"is no whole image .*copy it again"):
            image_store.load(engine, half, ignore, CancelToken())

    @pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text", mtime=0)])
    def test_no_archive(self, engine, tmp_path, content):
        file = tmp_path / "x.tar"
        file.write_bytes(content)
        with pytest.raises(WrongUsage, match="is no saved image"):
            image_store.load(engine, file, ignore, CancelToken())

    def test_another_archive(self, engine, tmp_path):
        file = tmp_path / "x.tar"
        subprocess.run(["tar", "-cf", file, "-C", Path(__file__).parent, Path(__file__).name], check=True)
        with pytest.raises(EngineFault, match="no whole image"):
            image_store.load(engine, file, ignore, CancelToken())

    def test_no_file(self, engine, tmp_path):
        with pytest.raises(WrongUsage, match="cannot be read"):
            image_store.load(engine, tmp_path / "x.tar", ignore, CancelToken())


@docker_test
@pytest.mark.usefixtures("nothing_left")
class TestPull:
    def test_progress_and_digest(self, engine):
        with Registry() as registry:
            name = f"{registry.host}/hnseg/pulled:1"
            recorder = Recorder()
            try:
                image_store.pull(engine, name, recorder, CancelToken())
                info = images.inspect(engine, name)
                assert info.pinned == f"{registry.host}/hnseg/pulled@{registry.digest}"
                assert images.inspect(engine, info.pinned).id == info.id
            finally:
                engine.client.remove_image(name)
            last = recorder.events[-1]
            assert last.stage == "pull" and last.message == "6 of 6 MB"
            assert len({event.fraction for event in recorder.events}) > 3
            image_store.pull(engine, info.pinned, ignore, CancelToken())
            engine.client.remove_image(info.pinned)

    def test_cancel(self, engine):
        cancel = CancelToken()
        with Registry(chunk_s=0.3) as registry, pytest.raises(Cancelled):
            image_store.pull(engine, f"{registry.host}/hnseg/pulled:1", lambda event: cancel.cancel(), cancel)

    def test_not_in_the_registry(self, engine):
        with Registry() as registry, pytest.raises(EngineFault, match=r"does not hand out .*image load FILE"):
            image_store.pull(engine, f"{registry.host}/hnseg/other:1", ignore, CancelToken())

    def test_no_registry(self, engine):
        with pytest.raises(EngineFault, match=r"cannot be pulled .*check the engine's network"):
            image_store.pull(engine, "127.0.0.1:9/hnseg/pulled:1", ignore, CancelToken())

    def test_digest_alone(self, engine):
        with pytest.raises(WrongUsage, match="needs the repository's name"):
            image_store.pull(engine, "sha256:" + "0" * 64, ignore, CancelToken())


def make_sources(folder: Path, dockerfile: str) -> Path:
    """A folder that looks like the project's docker/: Dockerfile, model, and something that must stay outside."""
    (folder / "hn_network" / "model").mkdir(parents=True)
    (folder / "hn_network" / "model" / "SHA256SUMS").write_text("made up\n")
    (folder / ".dockerignore").write_text("**\n!hn_network\n!*.crt\n")
    (folder / "secret").write_text("not for the image")
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


BUILDABLE = """
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
ARG CA_BUNDLE=
ARG MODEL_DIGEST=
ARG VERSION=
COPY ${CA_BUNDLE:-hn_network} /ca
COPY . /all
LABEL org.hnsegmenter.contract="1" org.hnsegmenter.data="/data" org.hnsegmenter.results="/results" \
      org.hnsegmenter.model.digest="${MODEL_DIGEST}" org.opencontainers.image.version="${VERSION}"
USER 10001
VOLUME ["/data", "/results"]
ENTRYPOINT ["cat", "/ca", "/all/secret"]
"""


@docker_test
@pytest.mark.usefixtures("nothing_left")
class TestBuild:
    def test_arguments_reach_the_build(self, engine, tmp_path):
        sources = make_sources(tmp_path / "docker", BUILDABLE)
        bundle = tmp_path / "ca.pem"
        bundle.write_text("TEST CERTIFICATE")
        recorder, tag = Recorder(), f"{REPOSITORY}:built"
        image_build.build(engine, sources, tag, recorder, CancelToken(), base_image=BASE, ca_bundle=bundle)
        info = images.inspect(engine, tag)
        assert info.model_digest == "sha256:" + hashlib.sha256(b"made up\n").hexdigest()
        labels = engine.client.inspect_image(tag)["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == __version__
        said = subprocess.run(
            [require_program("docker"), "run", "--rm", "--network", "none", tag],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout == "TEST CERTIFICATE" and "/all/secret: No such file" in said.stderr
        assert recorder.stages == ["build"]
        assert any("step" in (event.message or "") for event in recorder.events)

    @pytest.mark.parametrize(
        ("dockerfile", "words"),
        [
            ("RUN echo it broke here && exit 3", "Its last line: it broke here"),
            ("RUN echo 'SSLError: CERTIFICATE_VERIFY_FAILED' && exit 1", "give its certificates with --ca-bundle"),
            ("NONSENSE", "unknown instruction: NONSENSE"),
        ],
    )
    def test_failing_build(self, engine, tmp_path, dockerfile, words):
        sources = make_sources(tmp_path / "docker", f"FROM {PARENT}\n{dockerfile}\n")
        with pytest.raises(EngineFault) as caught:
            image_build.build(engine, sources, f"{REPOSITORY}:built", ignore, CancelToken(), network="none")
        assert words in caught.value.sentence

    def test_base_image_that_cannot_be_had(self, engine, tmp_path):
        sources = make_sources(tmp_path / "docker", BUILDABLE)
        with pytest.raises(EngineFault, match=r"base image cannot be had .*--base IMAGE"):
            image_build.build(
                engine, sources, f"{REPOSITORY}:built", ignore, CancelToken(), base_image="127.0.0.1:9/base:1"
            )

    def test_without_dockerfile_model_or_bundle(self, engine, tmp_path):
        def build_from(folder, **more):
            image_build.build(engine, folder, f"{REPOSITORY}:built", ignore, CancelToken(), **more)

        with pytest.raises(WrongUsage, match="no Dockerfile"):
            build_from(tmp_path)
        sources = make_sources(tmp_path / "docker", BUILDABLE)
        with pytest.raises(WrongUsage, match=r"CA bundle .* cannot be read"):
            build_from(sources, ca_bundle=tmp_path / "nowhere.pem")
        (sources / "hn_network" / "model" / "SHA256SUMS").unlink()
        with pytest.raises(WrongUsage, match="no model"):
            build_from(sources)


def cli(*arguments, **more):
    command = [sys.executable, "-m", "HNSegmenterLib", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def run_cli(*arguments) -> tuple[int, list[dict], str]:
    process = cli(*arguments, "--json", stdin=subprocess.DEVNULL)
    out, error = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in out.splitlines()], error


@docker_test
@pytest.mark.usefixtures("nothing_left")
class TestCommand:
    def test_load_makes_it_the_image_of_the_settings(self, engine, small, tmp_path):
        tag, file = small, tmp_path / "image.tar"
        code, lines, _ = run_cli("image", "save", tag, file)
        assert code == 0 and file.is_file()
        code, lines, _ = run_cli("image", "load", file)
        assert code == 0
        pinned = lines[-1]["pinned"]
        assert Settings.load().image == pinned and pinned.startswith(f"{tag}@sha256:")
        code, lines, _ = run_cli("image", "check")
        assert code == 0 and lines[-1]["name"] == pinned
        code, lines, _ = run_cli("image", "list")
        assert {"name", "mb", "id", "model", "model_digest", "state"} == set(lines[-1]["images"][0])

    def test_an_image_without_a_name_is_listed_by_its_id(self, engine):
        def import_as(tag: str) -> str:
            layer = make_layer(tag, 1 << 10)
            engine.client.import_image_from_data(layer, repository=REPOSITORY, tag="renamed", changes=CHANGES)
            return engine.client.inspect_image(f"{REPOSITORY}:renamed")["Id"]

        nameless = import_as("first")
        import_as("second")
        try:
            listed = run_cli("image", "list")[1][-1]["images"]
            (row,) = [row for row in listed if row["id"] == nameless[:19]]
            assert (row["name"], row["state"]) == (nameless, "may run, contract 1")
            assert not [row for row in listed if "<none>" in row["name"]]
        finally:
            engine.client.remove_image(nameless)

    def test_refusal_is_a_sentence_and_a_code(self, engine):
        code, lines, error = run_cli("image", "check", BASE)
        assert code == 1 and "no image of HN Segmenter" in lines[-1]["message"] and not error

    def test_cancelled_build_leaves_no_container(self, engine, tmp_path):
        sources = make_sources(tmp_path / "docker", f"FROM {PARENT}\nRUN sleep 300\n")
        before = {item["Id"] for item in engine.client.containers()}
        process = cli("image", "build", "--source", sources, "--network", "none", "--tag", f"{REPOSITORY}:stopped")
        wait_for(lambda: {item["Id"] for item in engine.client.containers()} - before)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 130 and "Cancelled" in error
        with pytest.raises(docker.errors.ImageNotFound):
            engine.client.inspect_image(f"{REPOSITORY}:stopped")
