"""Real guests: a nursery for all tests of a module, and models written as scripts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain.values import ModelId, Payload, TargetModel
from modelyard.inference.guests.guest_output import GuestOutput
from modelyard.inference.guests.guest_predictor import GuestPredictor
from modelyard.inference.guests.nursery_client import NurseryClient
from modelyard.runtimes import registry
from tests.models.script_models import script

MODEL_ID = ModelId("endpoint", TargetModel("model"))
LIMIT_BYTES = 256 << 20

Load = Callable[..., GuestPredictor]


@pytest.fixture(scope="module")
def nursery() -> Iterator[NurseryClient]:
    client = NurseryClient(["modelyard.runtimes.scripts.predictor"])
    yield client
    client.close()


@pytest.fixture(params=["forked", "fresh"])
def is_fresh(request: pytest.FixtureRequest) -> bool:
    return request.param == "fresh"


@pytest.fixture
def load(nursery: NurseryClient, tmp_path: Path) -> Iterator[Load]:
    """Load a script of these functions' sources as a guest; all guests are closed in the end."""
    loaded: list[GuestPredictor] = []

    def load_script(source: str, *, fresh: bool = False, **options: Any) -> GuestPredictor:
        folder = script(tmp_path / str(len(loaded)), source, **options.pop("helpers", {}))
        plan = registry.plan_load(folder, allow_code=True)
        options = {"limit_bytes": LIMIT_BYTES, "fresh": fresh} | options
        loaded.append(GuestPredictor(plan, MODEL_ID, nursery, GuestOutput(), **options))
        return loaded[-1]

    yield load_script
    for predictor in loaded:
        predictor.close()


def ask(predictor: GuestPredictor, body: bytes = b"1") -> str:
    """Return the text of an answer."""
    return predictor.predict(Payload(body, "text/plain")).body.decode()
