"""Settings with which the AWS CLI and boto3 call Modelyard: a model overlay and a config file.

botocore merges `service-2.sdk-extras.json` from its data path into its own service model.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from modelyard.clients.sdk import SIGNING_NAME
from modelyard.domain.errors import ConfigurationError

DEFAULT_PROFILE = "default"
_OVERLAY = Path("sagemaker-runtime/2017-05-13/service-2.sdk-extras.json")
_TARGET_MODEL = {
    "shape": "TargetModelHeader",
    "location": "header",
    "locationName": "X-Amzn-SageMaker-Target-Model",
}
_EXTRAS = {
    "version": 1.0,
    "merge": {
        "metadata": {"signingName": SIGNING_NAME},
        "shapes": {
            "ModelyardApiKey": {"type": "string", "sensitive": True},
            "ModelNotReadyException": {"retryable": {"throttling": False}},
            "InvokeEndpointInput": {
                "members": {
                    "ApiKey": {
                        "shape": "ModelyardApiKey",
                        "location": "header",
                        "locationName": "x-api-key",
                        "documentation": "An API key of Modelyard.",
                    }
                }
            },
            "InvokeEndpointAsyncInput": {"members": {"TargetModel": _TARGET_MODEL}},
            "InvokeEndpointWithResponseStreamInput": {"members": {"TargetModel": _TARGET_MODEL}},
        },
    },
}


def write_client_setup(folder: Path, url: str, profile: str = DEFAULT_PROFILE) -> dict[str, str]:
    """Write the overlay and a config file; return the environment variables that refer to them.

    Raises:
        ConfigurationError: URL or profile are not valid, or the folder cannot be written.
    """
    _check(url, profile)
    folder = folder.absolute()
    overlay, config = folder / "models" / _OVERLAY, folder / "config"
    try:
        overlay.parent.mkdir(parents=True, exist_ok=True)
        overlay.write_text(json.dumps(_EXTRAS, indent=2) + "\n")
        config.write_text("\n".join(_config_lines(url, profile)) + "\n")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from error
    variables = {"AWS_DATA_PATH": str(folder / "models"), "AWS_CONFIG_FILE": str(config)}
    return variables | ({} if profile == DEFAULT_PROFILE else {"AWS_PROFILE": profile})


def render_exports(variables: dict[str, str]) -> Iterator[str]:
    """Yield one `export` line for a shell per variable."""
    for name, value in variables.items():
        yield f"export {name}={shlex.quote(value)}"


def _check(url: str, profile: str) -> None:
    if not url.startswith(("http://", "https://")) or any(c.isspace() for c in url):
        raise ConfigurationError(f"--url: found {url!r}; allowed: http:// or https:// and a host")
    if not profile or any(c.isspace() or c in "[]" for c in profile):
        raise ConfigurationError(f"--profile: found {profile!r}; allowed: a name without blanks")


def _config_lines(url: str, profile: str) -> Iterator[str]:
    yield "[default]" if profile == DEFAULT_PROFILE else f"[profile {profile}]"
    yield "services = modelyard"
    yield ""
    yield "[services modelyard]"
    yield "sagemaker_runtime ="
    yield f"  endpoint_url = {url}"
