"""Google Cloud Storage and Azure on this machine; `make stores` installs what they need.

Of Google's two protocols, obstore speaks the one that is S3's, so moto stands for it. The emulators
on PyPI and npm speak the other one only. Azure's is Azurite, and its own SDK puts the blobs there.
"""

import importlib
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelyard.repositories.opening import open_repository

FOLDER = Path("build/stores").resolve()
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account, which is the same everywhere."""
_START_S = 60


def use_obstore() -> None:
    """Make obstore importable, or skip the test."""
    if not (FOLDER / ".made").exists():
        pytest.skip("make stores installs obstore and Azurite")
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))


def google_environment(endpoint: str) -> dict[str, str]:
    return {"GOOGLE_BASE_URL": endpoint, "GOOGLE_SKIP_SIGNATURE": "true"}


def azure_environment(endpoint: str) -> dict[str, str]:
    return {
        "AZURE_STORAGE_ENDPOINT": f"{endpoint}/{_ACCOUNT}",
        "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
    }


class WritableGoogleBucket:
    """A bucket that everybody may read and list, as requests of the tests have no signature."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.bucket = f"models{uuid.uuid4().hex[:12]}"  # moto takes no %2D for a hyphen
        self.prefix = prefix
        self.client = client
        client.create_bucket(Bucket=self.bucket, ACL="public-read")
        self.uri = f"gs://{self.bucket}/{prefix}"
        self.repository = open_repository(self.uri)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(
            Bucket=self.bucket, Key=self.prefix + key, Body=body, ACL="public-read"
        )

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)


class WritableContainer:
    """A container of Azurite."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        blobs = importlib.import_module("azure.storage.blob")
        self.bucket = f"models-{uuid.uuid4().hex[:12]}"
        self.prefix = prefix
        service = blobs.BlobServiceClient(f"{endpoint}/{_ACCOUNT}", credential=_KEY)
        self._container = service.create_container(self.bucket)
        self.uri = f"az://{self.bucket}/{prefix}"
        self.repository = open_repository(self.uri)

    def put(self, key: str, body: bytes) -> None:
        self._container.upload_blob(self.prefix + key, body, overwrite=True)

    def delete(self, key: str) -> None:
        self._container.delete_blob(self.prefix + key)


@contextmanager
def azurite() -> Iterator[str]:
    """Start Azurite; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node_modules/.bin/azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    with subprocess.Popen([*command, *options], cwd=FOLDER) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return
