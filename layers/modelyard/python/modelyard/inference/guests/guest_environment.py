"""The environment variables of guests: those of the server without its secrets."""

from collections.abc import Mapping

_OURS = "MODELYARD_"
_OF_THE_LAMBDA_RUNTIME = ("AWS_LAMBDA_RUNTIME_API", "_HANDLER", "_X_AMZN_TRACE_ID")
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)
_CREDENTIALS_PREFIX = "AWS_CONTAINER_"
"""Where the SDK fetches the credentials of a container, and with which token."""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that code of artifacts may see.

    Removed are Modelyard's own (`MODELYARD_*`), the credentials of AWS and the variables that say
    where the SDK finds them, and the address of the Lambda runtime. All others are kept, because
    scripts are configured by variables.
    """
    removed = (*_CREDENTIALS, *_OF_THE_LAMBDA_RUNTIME)
    return {
        name: value
        for name, value in environ.items()
        if name not in removed and not name.startswith((_OURS, _CREDENTIALS_PREFIX))
    }
