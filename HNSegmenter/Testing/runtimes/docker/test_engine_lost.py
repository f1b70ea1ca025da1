"""An engine that is killed, frozen, filled or cut off while a job runs: a real second engine, and what it leaves."""

from __future__ import annotations

import pytest

from HNSegmenterLib.errors import Cancelled, EngineFault
from HNSegmenterLib.events import CancelToken, ignore
from HNSegmenterLib.runtimes import containers, docker_runtime, images, watch
from HNSegmenterLib.runtimes.containers import Limits
from HNSegmenterLib.runtimes.docker_runtime import DockerRuntime
from HNSegmenterLib.runtimes.engine import connect
from Testing.runtimes.docker.daemon import Proxy
from Testing.runtimes.docker.fixtures import certificates, engine, second_engine
from Testing.runtimes.docker.support import REPOSITORY, Recorder, job_containers, make_job, state_of

pytestmark = pytest.mark.docker


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Give up after seconds in place of tens of seconds."""
    monkeypatch.setattr(watch, "AWAY_S", 1.0)
    monkeypatch.setattr(watch, "LOOK_S", 0.5)
    monkeypatch.setattr(docker_runtime, "REMOVAL_S", 2.0)


def runtime_at(url: str, way: str, **limits) -> DockerRuntime:
    found = connect(url)
    return DockerRuntime(found, images.inspect(found, f"{REPOSITORY}:{way}"), Limits(**limits))


def test_engine_killed_half_way(second_engine, tmp_path):
    """The container outlives its engine: the sentence says so, and the next run removes it."""
    job = make_job(tmp_path)
    runtime = runtime_at(second_engine.url, "slow")
    recorder = Recorder({"read": second_engine.kill})
    try:
        with pytest.raises(EngineFault, match=r"stopped answering. Start it again"):
            runtime.run(job, recorder, CancelToken())
    finally:
        second_engine.start()
    assert any("the next run removes it" in message for message in recorder.messages("warning"))
    assert sorted(path.name for path in job.path.iterdir()) == ["img.nii.gz", "results"]

    again = runtime_at(second_engine.url, "ok")
    before, _ = state_of(again.engine.client)
    assert len(before) == 1
    again.run(make_job(tmp_path), ignore, CancelToken())
    assert state_of(again.engine.client) == (set(), set())
    assert containers.list_records() == []


def test_cancel_while_the_engine_hangs(second_engine, tmp_path):
    job, cancel = make_job(tmp_path), CancelToken()
    runtime = runtime_at(second_engine.url, "slow")

    def freeze():
        second_engine.freeze()
        cancel.cancel()

    try:
        with pytest.raises(Cancelled):
            runtime.run(job, Recorder({"read": freeze}), cancel)
    finally:
        second_engine.thaw()
    containers.remove_orphans(connect(second_engine.url))
    assert job_containers(connect(second_engine.url).client) == []
    assert containers.list_records() == []


def test_time_out_while_the_engine_hangs(second_engine, tmp_path):
    job = make_job(tmp_path)
    runtime = runtime_at(second_engine.url, "slow", timeout_s=3)
    try:
        with pytest.raises(EngineFault, match="did not finish within 3 s"):
            runtime.run(job, Recorder({"read": second_engine.freeze}), CancelToken())
    finally:
        second_engine.thaw()
    containers.remove_orphans(connect(second_engine.url))
    assert job_containers(connect(second_engine.url).client) == []


def test_cut_connection_is_taken_up_again(second_engine, tmp_path):
    """A firewall that drops a silent connection does not cost the job; no event comes twice."""
    proxy = Proxy(tmp_path, second_engine.url)
    try:
        job = make_job(tmp_path / "jobs")
        recorder = Recorder({"read": proxy.cut})
        runtime_at(proxy.url, "late").run(job, recorder, CancelToken())
        assert (job.results / "Brainstem.nii.gz").is_file()
        stages = [event.stage for event in recorder.events if event.stage in ("read", "write")]
        assert stages == ["read", "write"]
        assert state_of(connect(second_engine.url).client) == (set(), set())
    finally:
        proxy.close()


def test_connection_lost_for_good(second_engine, tmp_path):
    proxy = Proxy(tmp_path, second_engine.url)
    job = make_job(tmp_path / "jobs")
    recorder = Recorder({"read": proxy.close})
    with pytest.raises(EngineFault, match="stopped answering"):
        runtime_at(proxy.url, "slow").run(job, recorder, CancelToken())
    proxy = Proxy(tmp_path, second_engine.url)
    try:
        containers.remove_orphans(connect(proxy.url))
    finally:
        proxy.close()
    assert state_of(connect(second_engine.url).client) == (set(), set())
    assert containers.list_records() == []


def test_container_fills_the_disk_of_the_engine(second_engine, tmp_path):
    with pytest.raises(EngineFault, match="disk of the Docker engine is full"):
        runtime_at(second_engine.url, "full").run(make_job(tmp_path), ignore, CancelToken())
    assert state_of(connect(second_engine.url).client) == (set(), set())


def test_no_room_for_the_container(second_engine, tmp_path):
    runtime = runtime_at(second_engine.url, "ok")
    ballast = second_engine.fill()
    try:
        with pytest.raises(EngineFault, match=r"disk of the Docker engine at .* is full"):
            runtime.run(make_job(tmp_path), ignore, CancelToken())
    finally:
        ballast.unlink()
    assert state_of(runtime.engine.client) == (set(), set())


class TestTls:
    """The second engine's TLS port, with its own certificate authority."""

    @pytest.fixture
    def secured(self, certificates, monkeypatch):
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
        # A bundle for the hospital's proxy must not stand in place of the engine's own CA.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")

    def test_job_over_tls(self, second_engine, secured, tmp_path):
        job, recorder = make_job(tmp_path, "img.nii"), Recorder()
        runtime = runtime_at(second_engine.tls_url, "ok")
        assert runtime.engine.endpoint.remote and not runtime.engine.endpoint.unencrypted
        runtime.run(job, recorder, CancelToken())
        assert (job.results / "Brainstem.nii.gz").is_file()
        assert not any("unencrypted" in message for message in recorder.messages("warning"))

    def test_without_tls(self, second_engine):
        with pytest.raises(EngineFault, match="wants TLS: set DOCKER_TLS_VERIFY=1"):
            connect(second_engine.tls_url)

    def test_without_our_certificate(self, second_engine, certificates, secured, tmp_path, monkeypatch):
        (tmp_path / "ca.pem").write_bytes((certificates / "ca.pem").read_bytes())
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with pytest.raises(EngineFault, match="refuses our certificate"):
            connect(second_engine.tls_url)

    def test_of_an_unknown_authority(self, second_engine, secured, tmp_path, monkeypatch):
        from Testing.runtimes.docker.daemon import make_certificates

        monkeypatch.setenv("DOCKER_CERT_PATH", str(make_certificates(tmp_path / "other")))
        with pytest.raises(EngineFault, match=r"certificate that ca.pem did not sign"):
            connect(second_engine.tls_url)

    def test_no_certificates_at_all(self, second_engine, secured, tmp_path, monkeypatch):
        from HNSegmenterLib.errors import WrongUsage

        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with pytest.raises(WrongUsage, match=r"ca.pem is missing"):
            connect(second_engine.tls_url)
