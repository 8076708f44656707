"""A yard of models whose loads all end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cortex.clients.api_yard import ApiYard


@pytest.fixture
def new_yard(tmp_path: Path) -> Iterator[Callable[..., ApiYard]]:
    """Make the yards of a test; arguments are those of `ApiYard` without its folder."""
    yards: list[ApiYard] = []

    def new(*args: Any, **options: Any) -> ApiYard:
        yards.append(ApiYard(tmp_path / str(len(yards)), *args, **options))
        return yards[-1]

    yield new
    for yard in yards:
        yard.settle()
