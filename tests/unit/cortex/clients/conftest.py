"""An API of models whose loads all end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cortex.clients.api_under_test import ApiUnderTest


@pytest.fixture
def new_api(tmp_path: Path) -> Iterator[Callable[..., ApiUnderTest]]:
    """Return a factory; its arguments are those of `ApiUnderTest` without the folder."""
    made: list[ApiUnderTest] = []

    def new(*args: Any, **options: Any) -> ApiUnderTest:
        made.append(ApiUnderTest(tmp_path / str(len(made)), *args, **options))
        return made[-1]

    yield new
    for api in made:
        api.settle()
