"""The limits of AWS for a config file, and the messages for what exceeds them."""

import re
from collections.abc import Iterator

from modelyard.aws.deployed import MAX_TIMEOUT_S
from modelyard.aws.function_table import NO_SHADOWS_ON_LAMBDA
from modelyard.config.endpoint_config import Config, EndpointConfig, RequestedCompute
from modelyard.config.schema import Deployment
from modelyard.cortex.project import ApiProject

MAX_WINDOW_S = 26.0
"""API Gateway closes a request after 29 s: the window, 2 s for the answer, and overhead."""
MAX_RESOURCES = 500
MAX_FUNCTIONS = 150
"""A stack has at most 500 resources, and each function needs an alarm, too."""
MEMORY_OF_NEW_ACCOUNTS = 3008 << 20
_MEMORY_BYTES = (512 << 20, 10240 << 20)
_STACK_NAME = re.compile("[a-zA-Z][a-zA-Z0-9-]*")
_TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[a-zA-Z0-9_.-]+")
_VPC_ENDPOINT = re.compile("vpce-[0-9a-f]+")
_ACCOUNT = re.compile(r"\d{12}")
_KMS_KEY = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f-]{36})")
_POLICY = re.compile(r"arn:[a-z-]+:iam::(\d{12}|aws):policy/[a-zA-Z0-9+=,.@_/-]+")
_VPC = re.compile("vpc-[0-9a-f]{8,40}")
_SUBNET = re.compile("subnet-[0-9a-f]{8,40}")
_PINNED_IMAGE = re.compile(r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}")
_OF_LAMBDA = re.compile(
    "_HANDLER|_X_AMZN_TRACE_ID|LAMBDA_(TASK_ROOT|RUNTIME_DIR)|AWS_(REGION|DEFAULT_REGION"
    "|EXECUTION_ENV|LAMBDA_.*|ACCESS_KEY|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)"
)
"""Variables that Lambda sets itself and does not accept from others."""


def warnings(config: Config) -> Iterator[str]:
    """Yield one line for each setting that new accounts refuse."""
    for endpoint in config.endpoints:
        memory_bytes = endpoint.compute.memory_bytes if endpoint.compute is not None else 0
        if memory_bytes > MEMORY_OF_NEW_ACCOUNTS:
            yield (
                f"{endpoint.endpoint.name}: compute: memory: {memory_bytes >> 20}MiB; new accounts"
                f" refuse functions of more than {MEMORY_OF_NEW_ACCOUNTS >> 20}MiB until their"
                " quota was raised (docs/limits.md)"
            )


def refusals(deployment: Deployment, config: Config) -> Iterator[str]:
    """Yield one line for each setting that AWS cannot have: the key and what is allowed."""
    if not config.endpoints:
        yield "found no endpoint; allowed: at least one"
    for problem in _of_deployment(deployment):
        yield f"{deployment.name}: {problem}"
    for endpoint in config.endpoints:
        for problem in _of_endpoint(endpoint):
            yield f"{endpoint.endpoint.name}: {problem}"
    for splitter in config.splitters:
        if splitter.has_shadow:
            yield f"{splitter.name}: {NO_SHADOWS_ON_LAMBDA}"
    functions = sum(_functions(endpoint) for endpoint in config.endpoints)
    if functions > MAX_FUNCTIONS:
        yield (
            f"shards: found {functions} of all endpoints; allowed: up to {MAX_FUNCTIONS}, because"
            " a stack has 500 resources at most"
        )
    elif (resources := _resources(len(config.endpoints), functions)) > MAX_RESOURCES:
        yield (
            f"found {len(config.endpoints)} endpoints with {functions} shards, about {resources}"
            f" resources; allowed: {MAX_RESOURCES} in a stack; divide them among deployments"
        )


def _of_deployment(deployment: Deployment) -> Iterator[str]:
    if _STACK_NAME.fullmatch(deployment.name) is None:
        yield "name: allowed: a name that begins with a letter, as those of stacks do"
    if deployment.auth == "none" and not deployment.vpc_endpoints:
        yield (
            "auth: found 'none' for a public API; allowed: iam or key, or none with vpc_endpoints"
        )
    for endpoint in deployment.vpc_endpoints:
        if _VPC_ENDPOINT.fullmatch(endpoint) is None:
            yield f"vpc_endpoints: found {endpoint!r}; allowed: ids such as vpce-0123456789abcdef0"
    yield from _of_callers(deployment)
    yield from _of_network(deployment)
    key, boundary = deployment.kms_key, deployment.permissions_boundary
    if key is not None and _KMS_KEY.fullmatch(key) is None:
        yield f"kms_key: found {key!r}; allowed: arn:aws:kms:REGION:ACCOUNT:key/ID"
    if boundary is not None and _POLICY.fullmatch(boundary) is None:
        yield (
            f"permissions_boundary: found {boundary!r}; allowed: arn:aws:iam::ACCOUNT:policy/NAME"
        )
    base = deployment.base_image
    if base is not None and _PINNED_IMAGE.fullmatch(base) is None:
        yield f"base_image: found {base!r}; allowed: IMAGE@sha256:DIGEST"
    topic = deployment.alarm_topic
    if topic is not None and _TOPIC.fullmatch(topic) is None:
        yield f"alarm_topic: found {topic!r}; allowed: arn:aws:sns:REGION:ACCOUNT:NAME"


def _of_callers(deployment: Deployment) -> Iterator[str]:
    for account in deployment.callers:
        if _ACCOUNT.fullmatch(account) is None:
            yield f"callers: found {account!r}; allowed: the 12 digits of an AWS account, in quotes"
    if deployment.callers and (deployment.auth != "iam" or deployment.vpc_endpoints):
        yield "callers: allowed: only with auth: iam and without vpc_endpoints"


def _of_network(deployment: Deployment) -> Iterator[str]:
    network = deployment.vpc
    if network is None:
        return
    if _VPC.fullmatch(network.id) is None:
        yield f"vpc: id: found {network.id!r}; allowed: an id such as vpc-0123456789abcdef0"
    for subnet in network.subnets:
        if _SUBNET.fullmatch(subnet) is None:
            yield f"vpc: subnets: found {subnet!r}; allowed: ids such as subnet-0123456789abcdef0"
    if deployment.flow_logs:
        yield "flow_logs: found true; allowed: false with vpc, whose owner logs its traffic"


def _of_endpoint(config: EndpointConfig) -> Iterator[str]:
    window_s = config.endpoint.sync_window_s
    if window_s > MAX_WINDOW_S:
        yield (
            f"sync_window: found {window_s:g} s; allowed: up to {MAX_WINDOW_S:g} s, because API"
            " Gateway closes a request after 29 s"
        )
    if (places := config.endpoint.async_places) is not None:
        for place in dict.fromkeys((places.output, places.failure, *places.inputs)):
            yield from _of_repository("async_invocations", place)
    if config.compute is not None:
        yield from _of_compute(config.compute)
    if config.project is None:
        yield from _of_repository("models: path", config.endpoint.repository)
    else:
        yield from _of_project(config.project)


def _of_compute(compute: RequestedCompute) -> Iterator[str]:
    least, most = _MEMORY_BYTES
    if not 1 <= compute.timeout_s <= MAX_TIMEOUT_S:
        yield f"compute: timeout: allowed: 1 s to {MAX_TIMEOUT_S:g} s on Lambda"
    if not least <= compute.memory_bytes <= most:
        yield f"compute: memory: allowed: {least >> 20}MiB to {most >> 20}MiB on Lambda"


def _of_project(project: ApiProject) -> Iterator[str]:
    for location in project.locations:
        yield from _of_repository("models", location.repository)
    for name in project.env:
        if _OF_LAMBDA.fullmatch(name):
            yield f"env: found {name}; allowed: variables that Lambda does not set itself"


def _of_repository(key: str, uri: str) -> Iterator[str]:
    if not uri.startswith("s3://"):
        where = "a folder of this machine" if uri.startswith("file:") else uri
        yield f"{key}: found {where}; allowed: s3://bucket/prefix"


def _functions(config: EndpointConfig) -> int:
    return config.compute.shards if config.compute is not None and not config.endpoint.is_api else 1


def _resources(endpoints: int, functions: int) -> int:
    """Return how many resources the service's stack has, with all of its options.

    An endpoint has a role, a policy, a log and an alarm; a function has an alarm.
    """
    return 79 + 4 * endpoints + 2 * functions
