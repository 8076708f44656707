"""What each process really imports: contracts cannot see an import by dotted name."""

import subprocess
import sys

import pytest

WEB = {"fastapi", "starlette", "uvicorn", "httpx", "pydantic", "prometheus_client"}
TERMINAL = {"click", "rich", "yaml"}
FRAMEWORKS = {
    "numpy",
    "scipy",
    "onnxruntime",
    "xgboost",
    "catboost",
    "lightgbm",
    "sklearn",
    "skops",
    "joblib",
    "tensorflow",
    "tokenizers",
    "keras",
}
AWS = {"boto3", "botocore", "urllib3"}
MODELS = {
    "modelyard.inference.disk",
    "modelyard.cortex.clients",
    "modelyard.runtimes",
    "modelyard.inference.residence",
}
ROUTER = {
    "modelyard.router.web",
    "modelyard.router.router",
    "modelyard.router.warming",
    "modelyard.router.catalog",
}


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
        ("modelyard.local.supervisor", {"orjson", "psutil", "prometheus_client"}),
        ("modelyard.inference.assembly", {"orjson", "psutil"}),
        ("modelyard.inference.service", {"orjson", "psutil"}),
        ("modelyard.router.router", {"orjson"}),
        ("modelyard.router.warming", {"orjson"}),
        ("modelyard.runtimes.registry", set()),
        ("modelyard.domain.errors", set()),
        ("modelyard.domain.values", set()),
        ("modelyard.domain.ports", set()),
    ],
)
def test_module_imports_nothing_beyond(module: str, allowed: set[str]) -> None:
    assert third_parties(imported_by(module)) <= allowed


@pytest.mark.parametrize("module", ["modelyard.router.web.app"])
def test_router_process_starts_without_frameworks_and_without_the_sdk(module: str) -> None:
    imported = imported_by(module)

    heavy = FRAMEWORKS | AWS | {"rich", "yaml", "fastapi", "pydantic"}
    assert third_parties(imported) & heavy == set()
    assert imported & MODELS == set()


def test_inference_side_starts_without_the_router_and_without_any_framework_module() -> None:
    imported = imported_by("modelyard.inference.assembly")

    assert imported & ROUTER == set()
    assert {name for name in imported if name.startswith("modelyard.runtimes.")} <= {
        "modelyard.runtimes.base",
        "modelyard.runtimes.detection",
        "modelyard.runtimes.foreign_formats",
        "modelyard.runtimes.memory",
        "modelyard.runtimes.mlmodel_file",
        "modelyard.runtimes.model_format",
        "modelyard.runtimes.onnx_graph",
        "modelyard.runtimes.registry",
        "modelyard.runtimes.scripts",
        "modelyard.runtimes.scripts.script_file",
        "modelyard.runtimes.sklearn_versions",
        "modelyard.runtimes.skops_file",
        "modelyard.runtimes.tensor_calls",
        "modelyard.runtimes.xgboost",
        "modelyard.runtimes.xgboost.version_gate",
    }


def test_worker_of_an_api_starts_without_any_framework_and_without_the_router() -> None:
    imported = imported_by("modelyard.local.api_worker")

    assert third_parties(imported) <= {"orjson", "psutil", "starlette"}
    assert imported & (ROUTER | {"modelyard.inference.service"}) == set()


def test_command_line_starts_without_the_server() -> None:
    imported = third_parties(imported_by("modelyard.cli.main"))

    assert imported & (WEB | FRAMEWORKS | AWS | {"rich", "yaml"}) == set()


def test_worker_starts_without_frameworks_and_without_the_sdk() -> None:
    imported = third_parties(imported_by("modelyard.local.serving_worker"))

    assert imported & (FRAMEWORKS | AWS | TERMINAL | {"pydantic", "httpx", "uvicorn"}) == set()


def test_supervisor_starts_without_the_router_and_without_models() -> None:
    wiring = "modelyard.config.endpoint_config, modelyard.local.server"
    imported = imported_by(f"modelyard.cli.main, modelyard.cli.console, {wiring}")

    assert third_parties(imported) & (FRAMEWORKS | AWS | {"pydantic", "yaml", "starlette"}) == set()
    models = ("modelyard.inference.residence", "modelyard.inference.guests")
    assert {
        name for name in imported if name.startswith(("modelyard.router.web", *models))
    } == set()
