"""Models in Google Cloud Storage and in Azure, served from there; `make stores` installs both."""

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.functional import artifacts
from tests.serving import COMMANDS, Server, clean_environment, eventually
from tests.stores import emulators

pytestmark = [pytest.mark.long, pytest.mark.local_door("functions on AWS read S3 only")]
LOOK_S = 3.0
START_S = 5.0
"""What a process needs until it looks, on a busy machine."""


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    emulators.use_obstore()
    with emulators.azurite() as endpoint:
        yield endpoint


@pytest.fixture(params=["gs", "az"])
def stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket, with the variables that its clients need in the environment."""
    emulators.use_obstore()
    is_google = request.param == "gs"
    endpoint = request.getfixturevalue("s3_endpoint" if is_google else "azurite")
    settings = emulators.google_environment if is_google else emulators.azure_environment
    for name, value in settings(endpoint).items():
        monkeypatch.setenv(name, value)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(emulators.FOLDER)]))
    monkeypatch.setenv("PYTHONPATH", path)
    if is_google:
        return emulators.WritableGoogleBucket(request.getfixturevalue("s3_client"), "models/")
    return emulators.WritableContainer(endpoint, "models/")


def call(server: Server) -> httpx.Response:
    headers = {"x-amzn-sagemaker-target-model": "house.tar.gz", "content-type": "text/csv"}
    path = f"{server.url}/endpoints/models/invocations"
    return httpx.post(path, content=artifacts.ROW, headers=headers, timeout=60)


def test_model_is_called_and_its_update_is_used(stored):
    stored.put("house.tar.gz", artifacts.house())

    with Server(stored.uri, "--workers", "1", "--revalidate", "1s") as server:
        assert call(server).json() == [5.0]

        stored.put("house.tar.gz", artifacts.house(7.0))

        eventually(lambda: call(server).json() == [7.0])


def test_missing_bucket_is_told_before_the_server_listens(stored):
    scheme, _, rest = stored.uri.partition("://")
    uri = f"{scheme}://{rest.partition('/')[0]}not/models/"
    started_at = time.monotonic()

    done = subprocess.run(
        [COMMANDS / "modelyard", "serve", uri, "--port", "0"],
        check=False,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert time.monotonic() - started_at < START_S + LOOK_S
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert "ready" not in done.stdout


def test_check_takes_a_prefix_and_one_object(stored):
    stored.put("house.tar.gz", artifacts.house())

    for place in (stored.uri, f"{stored.uri}house.tar.gz"):
        done = subprocess.run(
            [COMMANDS / "modelyard", "check", place],
            check=False,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert done.returncode == 0, done.stderr
        assert "house.tar.gz" in done.stdout
