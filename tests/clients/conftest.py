"""The server that the clients call."""

from collections.abc import Iterator

import pytest

from tests.clients import models
from tests.functional.served import DirectoryModels
from tests.serving import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a model of each framework."""
    served = DirectoryModels(tmp_path_factory.mktemp("yard") / "models")
    models.save(served)
    with Server(served.target, "--endpoint", "yard") as started:
        yield started
