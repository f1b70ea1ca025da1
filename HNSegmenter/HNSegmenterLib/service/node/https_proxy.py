"""nginx.conf: HTTPS in front of the node's REST interface.

Orthanc's own HTTPS is not used: Debian's Orthanc 1.10.1 ends with a segmentation fault at the first HTTPS request
(its web server, civetweb 1.15, calls a function that OpenSSL 3 has not got), and Orthanc's own book prefers a proxy.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import WrongUsage
from ..settings import NodeSettings, ServiceSettings

# Nothing of a patient is put aside on the disk: answers and requests pass through. Paths are relative to nginx's -p.
TEMPLATE = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    server_tokens off;
    client_max_body_size 0;
    client_body_temp_path nginx-body;
    proxy_temp_path nginx-proxy;
    fastcgi_temp_path nginx-unused;
    uwsgi_temp_path nginx-unused;
    scgi_temp_path nginx-unused;
    server {{
        listen {port} ssl;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


def configuration(settings: ServiceSettings) -> str | None:
    """The content of nginx.conf; None where the node's url is plain http.

    Raises WrongUsage where url and [https] do not fit, or certificate and key cannot be used.
    """
    encrypted = urlsplit(settings.node.url).scheme == "https"
    if encrypted and settings.https is None:
        raise WrongUsage(
            "The node's url is https, but there is no [https] with certificate and key: add it to service.toml."
        )
    if settings.https is None:
        return None
    if not encrypted:
        raise WrongUsage(
            "There is an [https] in service.toml, but the node's url is http: write https there, or remove [https]."
        )
    https, port = settings.https, url_port(settings.node)
    if port == https.orthanc_port:
        raise WrongUsage(
            f"Port {port} is wanted by HTTPS and by Orthanc behind it: set another orthanc_port in [https]."
        )
    check_pair(https.certificate, https.key)
    return TEMPLATE.format(port=port, certificate=https.certificate, key=https.key, behind=https.orthanc_port)


def url_port(node: NodeSettings) -> int:
    parts = urlsplit(node.url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def check_pair(certificate: Path, key: Path) -> None:
    """Raises WrongUsage where the two PEM files cannot be read, do not belong together, or the key has a password."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise WrongUsage(
            f"The certificate {certificate} and the key {key} cannot be used together: give PEM files that belong to "
            "each other, the key without a password."
        ) from error
