"""Modelyard serves thousands of models behind one endpoint.

The rooms, in the order of the rows of the import contract:

- `cli`          the verbs of the command line, their tables, `check`
- `local`        `modelyard serve`: the server, its workers, the emulation of Lambda
- `aws`          the functions on Lambda, SQS, SSM, what a deployment costs
- `config`       modelyard.yaml and cortex.yaml
- `cortex`       a Cortex project: its class, its clients, its versions, its environment
- `page`         the page for browsers: what the server does, a form to call a model
- `router`       the callers' side: HTTP, access rules, shards, warming
- `inference`    the models' side: models in memory, artifacts on disk, archives
- `clients`      for programs that call endpoints: `modelyard.client(url)`, the management client
- `repositories` where models are stored: a folder or an S3 prefix
- `runtimes`     one framework each; `runtimes.codecs` turns bodies into arrays
- `sagemaker`    SageMaker's protocol: headers, names, statuses
- `openinference`, `tfserving`, `mlflow`: a protocol each, its requests and responses
- `domain`       values, errors, ports, requests and the envelope they travel in
"""

from typing import Any

__version__ = "0.1.0"


def client(url: str, **options: Any) -> Any:
    """Return a boto3 client of the endpoints behind `url`.

    `clients.sdk.client` documents the options.
    """
    from modelyard.clients import sdk

    return sdk.client(url, **options)
