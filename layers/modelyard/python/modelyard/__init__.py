"""Modelyard serves thousands of models behind one endpoint.

The rooms, in the order a request visits them:

- `web`         the HTTP surface (Starlette), the same on a laptop and on Lambda
- `wire`        bytes and headers to types and back, one status table, the envelope
- `routing`     which endpoint, which artifact, which shard
- `router`      the invoke use case on the public side
- `adapters`    one technology each behind one port (worker processes, S3, SQLite, ...)
- `inference`   the invoke and load use cases beside the models
- `realtime_api` the same for a Cortex API, whose class is the user's
- `clients`     what that class is handed: its models by name and version
- `residence`   where each model is, and how it gets into memory
- `cache`       artifacts on disk, models in memory
- `predictors`  one framework each, or a user's class; `codecs` turn bodies into arrays
- `warming`     makes models ready that were too slow for a request
- `keys`        the API keys of callers; `routing.access` says what each may call
- `sdk`         the AWS SDK for those who call: `modelyard.client(url)`
- `emulation`   Lambda and API Gateway on this machine, for `serve --lambda`
- `cost`        what a deployment costs, beside SageMaker
- `bootstrap`   one wiring per process; `cli` the same for a terminal
"""

from typing import Any

__version__ = "0.1.0"


def client(url: str, **options: Any) -> Any:
    """Return a boto3 client of the endpoints behind `url`; `sdk.client` has the options."""
    from modelyard import sdk  # only those who call it need more than the version

    return sdk.client(url, **options)
