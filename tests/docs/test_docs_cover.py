"""What users can set, see or get has an entry in the docs, and the entry is right."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from starlette.applications import Starlette

from modelyard.cli.main import app as cli
from modelyard.config.files import KINDS, load_config
from modelyard.config.schema import Deployment, MultiModelEndpoint
from modelyard.domain import errors, metrics
from modelyard.domain.endpoints import EndpointTable, ServerLocation
from modelyard.domain.errors import ModelError, ModelNotReadyError, ModelyardError
from modelyard.local.prometheus_metrics import ProcessTotals, PrometheusMetrics
from modelyard.router.web.app import create_app
from modelyard.sagemaker.statuses import invoke_status, manage_status, original_status
from tests.docs import pages

SETTINGS = pages.rows(pages.text("docs/settings.md"))
CONTRACT = pages.rows(pages.text("docs/sagemaker.md"))
OPERATIONS = pages.rows(pages.text("docs/operations.md"))
COMMANDS = cast(Any, cli).commands
SERVE_OPTIONS = [param for param in COMMANDS["serve"].params if param.param_type_name == "option"]


def config_keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, field in section.model_fields.items():
        yield prefix + key, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from config_keys(field.annotation, f"{prefix}{key}.")


CONFIG_KEYS = dict(config_keys(MultiModelEndpoint))
REQUIRED = [key for key, field in CONFIG_KEYS.items() if field.default is PydanticUndefined]
LEAVES = [key for key in CONFIG_KEYS if f"{key}." not in " ".join(CONFIG_KEYS)]

DEPLOYMENT_KEYS = dict(config_keys(Deployment))
DEPLOYMENT_LEAVES = [key for key in DEPLOYMENT_KEYS if f"{key}." not in " ".join(DEPLOYMENT_KEYS)]
DEPLOYMENT = pages.rows(
    pages.text("docs/settings.md").partition("| deployment key |")[2].partition("\n\n")[0]
)


def error_classes(root: type[ModelyardError] = ModelyardError) -> Iterator[type[ModelyardError]]:
    if root.__module__ == errors.__name__:
        yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


@pytest.mark.parametrize("option", SERVE_OPTIONS, ids=lambda option: option.name)
def test_serve_option_is_documented_with_its_default(option):
    for spelling in (*option.opts, *option.secondary_opts):
        if spelling not in ("-h", "--help"):
            default = option.show_default
            is_switch = option.is_flag and not option.secondary_opts
            shown = default if isinstance(default, str) else str(option.default)
            shown = "no" if is_switch else shown
            assert SETTINGS[spelling][0] == shown


SHARED = ("--help", "--url", "--key", "--sign")
"""Told of below the table, for all verbs."""


@pytest.mark.parametrize("verb", sorted(set(COMMANDS) - {"serve"}))
def test_verb_is_documented_with_its_options(verb):
    table = pages.text("docs/settings.md").partition("## The other verbs")[2].partition("## ")[0]
    row = next(line for line in table.splitlines() if f"`modelyard {verb} " in line)
    verbs = [COMMANDS[verb], *getattr(COMMANDS[verb], "commands", {}).values()]
    params = [param for one in verbs for param in one.params]
    own = [option for param in params for option in param.opts if "--" in option]

    assert [option for option in own if option not in SHARED and option not in row] == []


def test_reference_is_what_the_code_says():
    # In a process of its own, as click keeps what the first reader of a command's help asked for.
    command = [sys.executable, "-m", "tests.docs.reference"]
    printed = subprocess.run(command, cwd=pages.ROOT, capture_output=True, text=True, check=True)

    assert pages.text("docs/reference.md") == printed.stdout, "make reference writes it"


def test_every_kind_of_resource_is_known_to_these_tests():
    assert KINDS == ("MultiModelEndpoint", "RealtimeAPI", "TrafficSplitter", "Deployment")


@pytest.mark.parametrize("key", CONFIG_KEYS)
def test_config_key_is_documented_as_required_or_not(key):
    assert (SETTINGS[key][0] == "required") == (key in REQUIRED)


@pytest.mark.parametrize("key", [key for key in LEAVES if key not in REQUIRED])
def test_documented_default_of_a_config_key_is_the_default(key, tmp_path):
    base = {"name": "housing", "kind": "MultiModelEndpoint", "models": {"path": "."}}
    *outer, name = key.split(".")
    known: dict[str, Any] = {"true": True, "false": False, "null": None, "{}": {}}
    value = known.get(SETTINGS[key][0], SETTINGS[key][0])
    value = int(value) if str(value).isdecimal() else value
    given = {name: value}
    for section in reversed(outer):
        given = {section: base.get(section, {}) | given}

    left_out = MultiModelEndpoint.model_validate(base, context=tmp_path)
    as_documented = MultiModelEndpoint.model_validate(base | given, context=tmp_path)

    assert as_documented == left_out


def test_example_config_shows_every_key_at_its_default(tmp_path):
    (example,) = pages.blocks(pages.text("docs/settings.md"), "yaml")
    (tmp_path / "models").mkdir()
    (tmp_path / "modelyard.yaml").write_text(example)
    (tmp_path / "short.yaml").write_text(
        "[{name: housing, kind: MultiModelEndpoint, models: {path: models}}]"
    )

    shown, short = (load_config(tmp_path / name) for name in ("modelyard.yaml", "short.yaml"))
    assert shown.endpoints == short.endpoints
    assert [key for key in LEAVES if f"{key.rpartition('.')[2]}:" not in example] == []


@pytest.mark.parametrize("key", DEPLOYMENT_LEAVES)
def test_key_of_a_deployment_is_documented_with_its_default(key):
    shown = DEPLOYMENT[key][0]
    section, _, name = key.rpartition(".")

    if shown == "required":
        assert DEPLOYMENT_KEYS[key].default is PydanticUndefined
    else:
        base = {"name": "d", "kind": "Deployment"}
        value = yaml.safe_load(shown)
        given = {section: {name: value}} if section else {name: value}
        as_documented = Deployment.model_validate(base | given)
        assert as_documented == Deployment.model_validate(base)


def test_no_key_of_a_deployment_is_documented_that_is_not_there():
    assert sorted(DEPLOYMENT) == sorted(DEPLOYMENT_LEAVES)


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_error_is_documented_with_its_types_and_statuses(kind):
    error = kind("why")
    wire = invoke_status(error)
    status = "429 or 503" if kind is ModelNotReadyError else str(wire.status)
    original = str(original_status(error)) if isinstance(error, ModelError) else ""
    managed = str(manage_status(error).status)

    assert CONTRACT[kind.__name__] == [wire.type, status, original, managed]


METRICS = [*metrics.OBSERVED.values(), *metrics.GAUGES]
SHOWN_UNITS = {
    metrics.Unit.COUNT: {"1 each", "0 or 1", "models"},
    metrics.Unit.MICROSECONDS: {"microseconds"},
    metrics.Unit.BYTES: {"bytes"},
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_is_documented_with_its_unit(metric):
    assert OPERATIONS[metric.name][0] in SHOWN_UNITS[metric.unit]


def test_no_metric_is_documented_that_is_not_there():
    table = pages.text("docs/operations.md").partition("## Logs")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(documented) == sorted(metric.name for metric in METRICS)


def test_metrics_that_a_local_server_shows_are_those_of_the_table(tmp_path):
    exposed = PrometheusMetrics(ProcessTotals(tmp_path, "w", [])).render().decode()
    shown = re.findall(r"^# HELP (\w+) (.+)$", exposed, re.MULTILINE)

    own = [one for one in shown if not one[0].startswith("modelyard_")]
    assert sorted(own) == sorted((metric.name, metric.help) for metric in METRICS)
    assert len(shown) - len(own) == len(metrics.OBSERVED)


@pytest.mark.parametrize("metric", metrics.OBSERVED.values(), ids=lambda metric: metric.name)
def test_name_for_prometheus_is_documented(metric):
    assert f"`{metric.prometheus}`" in pages.text("docs/operations.md")


def application_of(app: Any) -> Starlette:
    """Return the application with all routes, inside of what surrounds it."""
    if isinstance(app, Starlette):
        return vars(app.router.default)["_build"]()
    return application_of(vars(app)["_app"])


def routes() -> set[str]:
    """Return every route of the web application, without the optional stage."""
    nobody = cast(Any, SimpleNamespace(endpoints=EndpointTable([])))
    application = application_of(create_app(nobody, nobody, nobody, ServerLocation()))
    found = set()
    for route in application.routes:
        path = re.sub(r"{(\w+):path}", r"{\1}", route.path.removeprefix("/{stage}"))
        found |= {f"{method} {path}" for method in route.methods - {"HEAD"}}
    return found


V2 = "/endpoints/{endpoint}/v2"


def test_every_route_is_documented_and_no_other():
    table = pages.text("docs/sagemaker.md").partition("## Members")[0]
    documented = re.findall(r"^\| `([A-Z]+ /\S*)` \|", table, re.MULTILINE)

    others = re.compile(r"/v[12]\b|/models/{model}/invocations")
    assert set(documented) == {route for route in routes() if not others.search(route)}


def test_every_route_of_tensorflow_serving_and_mlflow_is_documented_and_no_other():
    page = pages.text("docs/protocols.md").partition("## TensorFlow Serving")[2]
    documented = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", page, re.MULTILINE))
    served = {
        route.replace(" /v1", " /endpoints/{endpoint}/v1").replace("/versions/{version}", "")
        for route in routes()
        if "/v1" in route or "/models/{model}/invocations" in route
    }

    assert documented == served


def test_every_route_of_the_open_inference_protocol_is_documented_and_no_other():
    page = pages.text("docs/protocols.md").partition("## TensorFlow Serving")[0]
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    documented = re.findall(r"`(GET|POST)(?: (/[^`]*))?`", table)
    served = {route.replace("/versions/{version}", "") for route in routes() if "/v2" in route}

    assert "`/models/{model}/versions/{version}`" in page
    assert served == {
        f"{method} {prefix}{path}" for method, path in documented for prefix in (V2, "/v2")
    }


def test_stage_works_for_the_routes_that_the_docs_name():
    nobody = cast(Any, SimpleNamespace(endpoints=EndpointTable([])))
    application = application_of(create_app(nobody, nobody, nobody, ServerLocation()))

    staged = {route.path for route in application.routes if route.path.startswith("/{stage}")}
    plain = {route.path for route in application.routes if not route.path.startswith("/{stage}")}

    assert staged == {"/{stage}" + path for path in plain - {"/ping", "/metrics"}}
    assert "The routes under `/endpoints` also work below" in pages.text("docs/sagemaker.md")


def test_ready_line_of_the_pages_is_the_one_of_the_code():
    source = Path(pages.ROOT / "layers/modelyard/python/modelyard/cli/console.py").read_text()

    assert "Modelyard is ready on " in source
    assert "Modelyard is ready on http://127.0.0.1:8080" in pages.text("README.md")
