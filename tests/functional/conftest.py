"""One server per kind of repository, shared by the tests: each test brings models of its own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.functional.guarded import Guarded, serving
from tests.functional.served import Served, open_repository, started_once
from tests.serving import Server, body, clean_environment

REVALIDATE_S = 0.5


@pytest.fixture(scope="session")
def shared_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Served]]:
    """Servers of several endpoints over one repository, one server for each kind of repository."""

    @contextmanager
    def start(kind: str) -> Iterator[Served]:
        models = tmp_path_factory.mktemp("repository") / "my models"
        repository = open_repository(kind, models, request)
        config = tmp_path_factory.mktemp("config") / "modelyard.yaml"
        config.write_text(yaml.safe_dump(list(_resources(repository.target))))
        with Server(config, environment=repository.environment) as server:
            yield Served(server, repository)

    with started_once(start) as found:
        yield found


@pytest.fixture
def served(request: pytest.FixtureRequest, shared_servers: Callable[[str], Served]) -> Served:
    """The shared server over a folder; over S3 too for tests of `over_each_repository`."""
    return shared_servers(getattr(request, "param", "directory"))


@pytest.fixture
def good_model(served: Served) -> str:
    """A model that answers 5.0."""
    return served.good_model


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
        "code": ({"allow_code": True}, {"components": {"house-eu": "eu/house.tar.gz"}}),
        "brisk": ({"allow_code": True}, {"sync_window": "250ms"}),
        "brisk-429": ({"allow_code": True}, {"sync_window": "250ms", "not_ready_status": 429}),
        "impatient": ({"allow_code": True}, {"sync_window": "2s"}),
        "forgetful": ({"allow_code": True, "caching": "Disabled"}, {}),
    }
    for name, (models, resource) in rules.items():
        where = {"path": path, "revalidate": REVALIDATE_S, **models}
        yield {"name": name, "kind": "MultiModelEndpoint", "models": where, **resource}
