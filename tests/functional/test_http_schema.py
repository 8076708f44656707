"""The routes keep to `openapi.yaml`, as far as schemathesis finds out in a short time."""

import re
from pathlib import Path

import pytest
import yaml

from tests.docs import pages
from tests.functional import schema_run

SCHEMATHESIS = pages.ROOT / "build/schema/venv/bin/schemathesis"


def test_schema_describes_every_promised_route_and_no_other() -> None:
    described = yaml.safe_load(schema_run.SCHEMA.read_text())["paths"]
    found = {
        f"{method.upper()} {path}"
        for path, operations in described.items()
        for method in operations
        if method != "parameters"
    }
    table = pages.text("docs/sagemaker.md").partition("## Members")[0]

    assert found == set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", table, re.MULTILINE))


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="needs `make schema`, which installs it")
@pytest.mark.parametrize("schema", [schema_run.SCHEMA, schema_run.PROTOCOLS])
def test_answers_of_every_route_are_as_described(schema: Path) -> None:
    options = ("--max-examples", "10", "--seed", "1")

    done = schema_run.run(str(SCHEMATHESIS), *options, schema=schema)

    assert done.returncode == 0, done.stdout
