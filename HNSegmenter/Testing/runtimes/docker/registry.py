"""A registry on loopback that serves one made-up image slowly enough to watch a pull: the real protocol, read only."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LABELS = {"org.hnsegmenter.contract": "1", "org.hnsegmenter.data": "/data", "org.hnsegmenter.results": "/results"}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_layer(name: str, size: int) -> bytes:
    """An uncompressed layer with one file of random bytes, so that no engine has it already."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    return layer.getvalue()


class Registry:
    """Use as a context manager. `host`: address for image names; `digest`: of the only manifest, hnseg/pulled:1."""

    def __init__(self, layer_bytes: int = 3 << 20, chunk_s: float = 0.05):
        layers = [make_layer(f"file{i}", layer_bytes) for i in range(2)]
        packed = [gzip.compress(layer, 1) for layer in layers]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"User": "10001", "Labels": LABELS, "Volumes": {"/data": {}, "/results": {}}, "Cmd": ["x"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created_by": "test"} for _ in layers],
        }
        config_bytes = json.dumps(config).encode()
        self._blobs = {digest_of(blob): blob for blob in [config_bytes, *packed]}
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config_bytes),
                "digest": digest_of(config_bytes),
            },
            "layers": [{"mediaType": kind, "size": len(blob), "digest": digest_of(blob)} for blob in packed],
        }
        self._manifest = json.dumps(manifest).encode()
        self.digest = digest_of(self._manifest)
        self._chunk_s = chunk_s
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Registry:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(registry):  # noqa: C901 - a class of short methods
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                last = self.path.rsplit("/", 1)[-1]
                if self.path == "/v2/":
                    self._answer(b"{}", "application/json")
                elif self.path.startswith("/v2/hnseg/pulled/manifests/") and last in ("1", registry.digest):
                    self._answer(registry._manifest, MANIFEST)
                elif last in registry._blobs:
                    self._answer(registry._blobs[last], "application/octet-stream")
                else:
                    body = json.dumps(
                        {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
                    ).encode()
                    self._answer(body, "application/json", 404)

            def _answer(self, body: bytes, kind: str, status: int = 200):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.send_header("Docker-Content-Digest", registry.digest)
                self.end_headers()
                if self.command == "HEAD":
                    return
                for start in range(0, len(body), 1 << 18):
                    self.wfile.write(body[start : start + (1 << 18)])
                    if len(body) > 1 << 18:
                        time.sleep(registry._chunk_s)

            def log_message(self, *_):
                pass

        return Handler
