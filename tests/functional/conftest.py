"""One server per kind of repository, shared by the tests: each test brings models of its own."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.functional import artifacts
from tests.functional.guarded import Guarded, serving
from tests.functional.served import DirectoryModels, Repository, S3Models, Served
from tests.serving import Server, body, clean_environment

REVALIDATE_S = 0.5


@pytest.fixture(scope="session", params=["directory", "s3"])
def repository(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Repository:
    """A model repository of each kind."""
    if request.param == "s3":
        return S3Models(request.getfixturevalue("s3_endpoint"))
    return DirectoryModels(tmp_path_factory.mktemp("repository") / "my models")


@pytest.fixture(scope="session")
def shared_server(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of several endpoints over one repository."""
    config = tmp_path_factory.mktemp("config") / "modelyard.yaml"
    config.write_text(yaml.safe_dump(list(_resources(repository.target))))
    with Server(config, environment=repository.environment) as server:
        yield server


@pytest.fixture(scope="session")
def served(shared_server: Server, repository: Repository) -> Served:
    """The shared server with its repository."""
    return Served(shared_server, repository)


@pytest.fixture(scope="module")
def good_model(served: Served) -> str:
    """A model that answers 5.0."""
    return served.publish(artifacts.house(5.0))


@pytest.fixture
def unharmed(served: Served, good_model: str) -> Iterator[None]:
    """Whatever the test did, nothing half-written stays and the next call is answered."""
    yield
    assert served.server.half_written() == []
    assert body(served.invoke(good_model)) == [5.0]


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that asks for keys."""
    with serving(tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture(autouse=True)
def no_foreign_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the SDK from reading what the machine's owner has set up."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in clean_environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def _resources(path: str) -> Iterator[dict[str, Any]]:
    rules: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "safe": ({}, {}),
        "code": ({"allow_code": True}, {}),
        "brisk": ({"allow_code": True}, {"sync_window": "250ms"}),
        "brisk-429": ({"allow_code": True}, {"sync_window": "250ms", "not_ready_status": 429}),
        "impatient": ({"allow_code": True}, {"sync_window": "2s"}),
        "forgetful": ({"allow_code": True, "caching": "Disabled"}, {}),
    }
    for name, (models, resource) in rules.items():
        where = {"path": path, "revalidate": REVALIDATE_S, **models}
        yield {"name": name, "kind": "MultiModelEndpoint", "models": where, **resource}
