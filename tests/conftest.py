"""Fixtures of more than one suite, and what holds for every test process."""

import os

# Frameworks read this when they are imported: test processes run side by side already.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import gc
import uuid
from collections.abc import Generator, Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings

from tests.serving import is_deployed

# No deadline: a machine that others use takes its time. `make` names the longer profiles.
settings.register_profile(
    "long", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.register_profile("short", settings.get_profile("long"), max_examples=20)
settings.register_profile("volume", settings.get_profile("long"), max_examples=2000)
settings.load_profile("short")

_FOREIGN_AWS_SETTINGS = [
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SESSION_TOKEN",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests for pytest-xdist, and leave out what a deployment does otherwise.

    Servers run as a deployment with `make test-lambda`.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.scheduling import slowest_first  # where pytest-xdist is in use only

        slowest_first(items)
    if not is_deployed():
        return
    for item in items:
        if marker := item.get_closest_marker("local_door"):
            item.add_marker(pytest.mark.skip(reason=marker.args[0]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: hundreds of thousands of objects stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return three processes for two processors: a third of the time, tests wait for servers."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let `--dist loadfile` also keep files together that share what takes long to make."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.scheduling import FilesTogether  # where pytest-xdist is in use only

    return FilesTogether(config, log)


@pytest.fixture(scope="module", autouse=True)
def small_collections() -> Iterator[None]:
    """Keep what frameworks have imported so far out of the garbage collections to come.

    A full collection over hundreds of thousands of objects takes seconds; many tests ask for one.
    """
    gc.collect()
    gc.freeze()
    yield


@pytest.fixture(scope="session", autouse=True)
def aws_models_are_read_once() -> None:
    """Let all clients of the AWS SDK share what it reads from its own files.

    Each session reads and parses megabytes of JSON again, which takes longer than most tests.
    The model of the API that `client-setup` extends is copied: the SDK changes it in place.
    """
    loader = JSONFileLoader()
    read = cache(loader.load_file)

    def load_file(_: JSONFileLoader, path: str) -> Any:
        return copy.deepcopy(read(path)) if "sagemaker-runtime" in path else read(path)

    JSONFileLoader.load_file = load_file


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of a real HTTP server that speaks S3 (and SQS)."""
    from moto.server import ThreadedMotoServer  # seconds, and only for those who ask

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Any:
    """A client of that server for arranging; the code under test builds its own."""
    import boto3

    session = boto3.session.Session("test-key", "test-secret", region_name="us-east-1")
    return session.client("s3", endpoint_url=s3_endpoint)


@pytest.fixture
def s3_bucket(s3_endpoint: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a fresh bucket; the AWS variables point at its server."""
    for name in _FOREIGN_AWS_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = f"models-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    return bucket
