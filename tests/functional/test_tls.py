"""The server with a certificate."""

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelyard.cli.main import app
from tests.functional import artifacts
from tests.serving import Server

CALL = "/endpoints/m/invocations"
HEADERS = {"x-amzn-sagemaker-target-model": "house.tar.gz", "content-type": "text/csv"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a new certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "modelyard")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls-models") / "m"
    folder.mkdir()
    (folder / "house.tar.gz").write_bytes(artifacts.house())
    return folder


@pytest.fixture(scope="module")
def server(models: Path, certificate: Path) -> Iterator[Server]:
    with Server(models, "--workers", "1", "--certfile", str(certificate)) as running:
        yield running


def test_calls_over_one_connection_are_answered(server: Server, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate)

    with httpx.Client(base_url=server.url, verify=context, timeout=60, trust_env=False) as client:
        answers = [client.post(CALL, content=artifacts.ROW, headers=HEADERS) for _ in range(3)]
        refused = client.post(CALL, content=bytes(7 << 20), headers=HEADERS)

    assert server.url.startswith("https://")
    assert {answer.text for answer in answers} == {"[5.0]"}
    assert refused.status_code == 400


def test_plain_http_is_not_answered(server: Server) -> None:
    host, port = server.url.removeprefix("https://").split(":")

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
        received = connection.recv(100)

    assert b"HTTP" not in received


def test_files_that_are_no_certificate_stop_the_start(models: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")

    refused = CliRunner().invoke(
        app, ("serve", str(models), "--port", "0", "--certfile", str(wrong))
    )

    assert refused.exit_code == 1
    assert f"--certfile {wrong}" in refused.stderr
