"""The parts of the package that run in a function, so that other parts do not change its asset."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
BYTECODE = ("__pycache__", "*.pyc")
_PACKAGE = ROOT / "layers" / "modelyard" / "python" / "modelyard"
_EVERYWHERE = (
    "__init__.py",
    "aws/__init__.py",
    "aws/frozen_imports.py",
    "aws/function_settings.py",
    "aws/keep_awake.py",
    "aws/lambda_payload.py",
    "aws/logs.py",
    "clients/__init__.py",
    "clients/endpoint_error.py",
    "clients/sdk.py",
    "domain",
    "repositories",
)
OF_IMAGES = (
    *_EVERYWHERE,
    "aws/inference.py",
    "cortex",
    "inference",
    "runtimes",
)
"""What the inference functions import. A test compares it with the imports."""
OF_LAYER = (
    *_EVERYWHERE,
    "aws/call_events.py",
    "aws/crash_bars.py",
    "aws/emf_metrics.py",
    "aws/fitting_responses.py",
    "aws/function_table.py",
    "aws/invoke_errors.py",
    "aws/lambda_backend.py",
    "aws/reconnecting.py",
    "aws/router.py",
    "aws/sqs_queue.py",
    "aws/ssm_keys.py",
    "aws/warmer.py",
    "cortex/__init__.py",
    "cortex/layouts.py",
    "cortex/project.py",
    "cortex/versioned_repository.py",
    "mlflow",
    "openinference",
    "router",
    "sagemaker",
    "tfserving",
)
"""What router and warmer import."""


def copy_package(parts: tuple[str, ...], target: Path) -> None:
    """Copy these parts of the package into the folder `target`."""
    for part in parts:
        source, copy = _PACKAGE / part, target / part
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*BYTECODE))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
