"""What each process really imports: contracts cannot see an import by dotted name."""

import subprocess
import sys

import pytest

WEB = {"fastapi", "starlette", "uvicorn", "httpx", "pydantic", "prometheus_client"}
TERMINAL = {"typer", "rich", "yaml"}
FRAMEWORKS = {
    "numpy",
    "scipy",
    "onnxruntime",
    "xgboost",
    "sklearn",
    "skops",
    "joblib",
    "tensorflow",
    "keras",
}
AWS = {"boto3", "botocore", "urllib3"}
MODELS = {
    "modelyard.cache",
    "modelyard.clients",
    "modelyard.codecs",
    "modelyard.predictors",
    "modelyard.residence",
}
ROUTER = {"modelyard.web", "modelyard.router", "modelyard.warming", "modelyard.catalog"}


def imported_by(module: str) -> set[str]:
    """Return the modules of a fresh interpreter that imported one."""
    program = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def third_parties(modules: set[str]) -> set[str]:
    known = WEB | TERMINAL | FRAMEWORKS | AWS | {"orjson", "psutil", "click", "httptools", "uvloop"}
    return {module.partition(".")[0] for module in modules} & known


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("modelyard.bootstrap.worker", {"orjson", "psutil"}),
        ("modelyard.inference", {"orjson", "psutil"}),
        ("modelyard.router", {"orjson"}),
        ("modelyard.warming", {"orjson"}),
        ("modelyard.predictors.registry", set()),
        ("modelyard.errors", set()),
        ("modelyard.types", set()),
        ("modelyard.ports", set()),
    ],
)
def test_module_imports_nothing_beyond(module: str, allowed: set[str]) -> None:
    assert third_parties(imported_by(module)) <= allowed


@pytest.mark.parametrize("module", ["modelyard.web.app", "modelyard.bootstrap.local_front"])
def test_router_process_starts_without_frameworks_and_without_the_sdk(module: str) -> None:
    imported = imported_by(module)

    assert third_parties(imported) & (FRAMEWORKS | AWS | {"rich", "typer", "yaml"}) == set()
    assert imported & MODELS == set()


def test_worker_starts_without_the_router_and_without_any_framework_module() -> None:
    imported = imported_by("modelyard.bootstrap.worker")

    assert imported & ROUTER == set()
    assert {name for name in imported if name.startswith("modelyard.predictors.")} <= {
        "modelyard.predictors.base",
        "modelyard.predictors.detection",
        "modelyard.predictors.memory",
        "modelyard.predictors.model_format",
        "modelyard.predictors.registry",
        "modelyard.predictors.xgboost_gate",
    }


def test_worker_of_an_api_starts_without_any_framework_and_without_the_router() -> None:
    imported = imported_by("modelyard.bootstrap.api_worker")

    assert third_parties(imported) <= {"orjson", "psutil", "starlette"}
    assert imported & (ROUTER | {"modelyard.inference"}) == set()


def test_command_line_starts_without_the_server() -> None:
    imported = third_parties(imported_by("modelyard.cli"))

    assert imported & (WEB | FRAMEWORKS | AWS | {"rich", "yaml"}) == set()


def test_server_of_a_folder_starts_without_what_config_files_and_clients_take() -> None:
    served = "modelyard.bootstrap.local, modelyard.bootstrap.local_front"
    modules = imported_by(f"modelyard.cli, modelyard.targets, {served}")

    assert third_parties(modules) & {"pydantic", "yaml", "httpx", "boto3"} == set()


def test_workers_are_started_before_the_server_imports_its_front() -> None:
    served = "modelyard.cli, modelyard.console, modelyard.targets, modelyard.bootstrap.local"
    imported = third_parties(imported_by(served))

    assert imported <= {"click", "orjson", "psutil", "typer", "uvloop"}
