"""What the page about Cortex says of keys, statuses and choices is so."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml

from modelyard.config.cortex.api import RealtimeAPI
from modelyard.config.files import load_config
from modelyard.config.schema import Section
from modelyard.domain import errors
from modelyard.domain.errors import ModelyardError
from modelyard.sagemaker.statuses import call_status
from tests.docs import pages

PAGE = pages.text("docs/cortex.md")
ROWS = pages.rows(PAGE)
CHOSEN = (4, 10, 12, 14, 17, 19, 21, 22, 24, 25, 26, 31, 32, 33, 36, 38, 39, 43, 44, 45)
"""The rows of the conformance list where Cortex's own behaviour was a choice among others."""
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ModelyardError)
]
UNUSUAL: dict[str, dict[str, Any]] = {
    "predictor": {
        "type": "tensorflow",
        "path": "predictor.py",
        "model_path": "models",
        "processes_per_replica": 2,
        "server_side_batching": {"max_batch_size": 2, "batch_interval": "10ms"},
        "image": "an/image",
        "tensorflow_serving_image": "an/image",
        "dependencies": {"pip": "pip.txt", "conda": "conda.txt", "shell": "shell.sh"},
        "log_level": "debug",
        "shm_size": "1Gi",
        "protobuf_path": "api.proto",
    },
    "networking": {"api_gateway": "none", "local_port": 8888},
    "compute": {"cpu": 1, "gpu": 1, "mem": "2Gi"},
    "autoscaling": {"max_replicas": 2},
    "update_strategy": {"max_surge": 0},
    "monitoring": {"key": "label"},
}
"""Every key without effect; of `gpu` and `inf` only one may be given."""


def keys_of(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key; those of lists' elements like any other's."""
    for key, field in section.model_fields.items():
        inner = section_in(field.annotation)
        if inner is None:
            yield prefix + key
        else:
            yield from keys_of(inner, f"{prefix}{key}.")


def section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


def documented(key: str) -> str:
    """Return the name of the row that speaks of a key: itself, or the section it is in."""
    parts = key.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in ROWS), f"no row for {key}")


@pytest.mark.parametrize("row", CHOSEN)
def test_choice_is_told(row):
    section = PAGE.partition("\n## What differs from Cortex v0.24, and why\n")[2]

    assert f"C{row:02}" in section.partition("\n## ")[0]


@pytest.mark.parametrize("key", sorted(set(keys_of(RealtimeAPI))))
def test_key_is_documented(key):
    assert documented(key) in ROWS


def test_keys_said_to_have_no_effect_are_those_that_the_server_warns_of(tmp_path):
    (tmp_path / "predictor.py").touch()
    (tmp_path / "models").mkdir()
    config = tmp_path / "cortex.yaml"
    config.write_text(yaml.safe_dump([{"name": "api", "kind": "RealtimeAPI", **UNUSUAL}]))
    [warning] = load_config(config).warnings

    idle = {documented(key) for key in keys_of(RealtimeAPI) if is_idle(key)}

    assert [name for name in idle if name not in warning and name != "compute.inf"] == []
    named = {part.split(" (")[0] for part in warning.partition("here: ")[2].split("), ")}
    assert {documented(name) for name in named} <= idle


def is_idle(key: str) -> bool:
    return ROWS[documented(key)][0] == "no effect"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_error_is_documented_with_its_status(kind):
    name = next(base.__name__ for base in kind.__mro__ if base.__name__ in ROWS)

    assert ROWS[name][0] == str(call_status(kind("why")))
