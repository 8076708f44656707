"""What AWS would refuse, or regret, is refused before a deployment, with what is allowed."""

from pathlib import Path

import pytest

from infra.settings import DeploySettings, load_settings
from modelyard.domain.endpoints import SplitTarget, Splitter
from modelyard.domain.errors import ConfigurationError

ENDPOINT = "- name: houses\n  kind: MultiModelEndpoint\n  models: {path: s3://a-bucket/houses/}\n"


def deployment(lines: str, name: str = "yard") -> str:
    return f"- name: {name}\n  kind: Deployment\n{lines}{ENDPOINT}"


def load(folder: Path, text: str, **overrides: str) -> DeploySettings:
    file = folder / "modelyard.yaml"
    file.write_text(text)
    (folder / "models").mkdir(exist_ok=True)
    return load_settings(file, overrides)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            deployment("  auth: none\n"),
            "yard: auth: found 'none' for a public API; allowed: iam or key, or none with"
            " vpc_endpoints",
        ),
        (
            deployment("", name="3d"),
            "3d: name: allowed: a name that begins with a letter, as those of stacks do",
        ),
        (
            deployment("  base_image: python:3.13\n"),
            "yard: base_image: found 'python:3.13'; allowed: IMAGE@sha256:DIGEST",
        ),
        (
            deployment("  alarm_topic: alarms\n"),
            "yard: alarm_topic: found 'alarms'; allowed: arn:aws:sns:REGION:ACCOUNT:NAME",
        ),
        (
            deployment("  callers: ['1234']\n"),
            "yard: callers: found '1234'; allowed: the 12 digits of an AWS account, in quotes",
        ),
        (
            deployment("  callers: ['111122223333']\n  auth: key\n"),
            "yard: callers: allowed: only with auth: iam and without vpc_endpoints",
        ),
        (
            deployment("  kms_key: alias/models\n"),
            "yard: kms_key: found 'alias/models'; allowed: arn:aws:kms:REGION:ACCOUNT:key/ID",
        ),
        (
            deployment("  permissions_boundary: boundary\n"),
            "yard: permissions_boundary: found 'boundary'; allowed:"
            " arn:aws:iam::ACCOUNT:policy/NAME",
        ),
        (
            deployment("  vpc: {id: mine, subnets: [subnet-01234567]}\n"),
            "yard: vpc: id: found 'mine'; allowed: an id such as vpc-0123456789abcdef0",
        ),
        (
            deployment("  vpc: {id: vpc-01234567, subnets: [a]}\n"),
            "yard: vpc: subnets: found 'a'; allowed: ids such as subnet-0123456789abcdef0",
        ),
        (
            deployment(
                "  vpc: {id: vpc-01234567, subnets: [subnet-01234567]}\n  flow_logs: true\n"
            ),
            "yard: flow_logs: found true; allowed: false with vpc, whose owner logs its traffic",
        ),
        (
            deployment("  vpc_endpoints: [vpc-1]\n"),
            "yard: vpc_endpoints: found 'vpc-1'; allowed: ids such as vpce-0123456789abcdef0",
        ),
        (
            f"{ENDPOINT}  async_invocations: {{output: models}}\n",
            "houses: async_invocations: found a folder of this machine; allowed: s3://bucket/prefix",
        ),
        (
            f"{ENDPOINT}  sync_window: 40s\n",
            "houses: sync_window: found 40 s; allowed: up to 26 s, because API Gateway closes"
            " a request after 29 s",
        ),
        (
            f"{ENDPOINT}  compute: {{timeout: 20m}}\n",
            "houses: compute: timeout: allowed: 1 s to 900 s on Lambda",
        ),
        (
            f"{ENDPOINT}  compute: {{memory: 20GiB}}\n",
            "houses: compute: memory: allowed: 512MiB to 10240MiB on Lambda",
        ),
        (
            f"{ENDPOINT}  compute: {{memory: 256MiB}}\n",
            "houses: compute: memory: allowed: 512MiB to 10240MiB on Lambda",
        ),
        (
            f"{ENDPOINT}  compute: {{shards: 200}}\n",
            "shards: found 200 of all endpoints; allowed: up to 150, because a stack has 500"
            " resources at most",
        ),
        (
            ENDPOINT.replace("s3://a-bucket/houses/", "models"),
            "houses: models: path: found a folder of this machine; allowed: s3://bucket/prefix",
        ),
        (
            "- name: yard\n  kind: Deployment\n",
            "found no endpoint; allowed: at least one",
        ),
    ],
)
def test_what_cannot_be_deployed_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, text)

    assert refused.value.message == f"modelyard.yaml: {words}"


def test_variable_of_lambda_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "predictor.py").touch()
    predictor = "{type: python, path: predictor.py, env: {AWS_REGION: here}}"

    with pytest.raises(ConfigurationError, match=r"api: env: found AWS_REGION; allowed"):
        load(tmp_path, f"- name: api\n  kind: RealtimeAPI\n  predictor: {predictor}\n")


APIS = """\
- {name: one, kind: RealtimeAPI, predictor: {type: python, path: predictor.py}}
- {name: two, kind: RealtimeAPI, predictor: {type: python, path: predictor.py}}
"""


def test_functions_are_told_about_traffic_splitters(tmp_path: Path) -> None:
    (tmp_path / "predictor.py").touch()
    apis = "apis: [{name: one, weight: 90}, {name: two, weight: 10}]"

    settings = load(tmp_path, f"{APIS}- {{name: split, kind: TrafficSplitter, {apis}}}\n")

    targets = (SplitTarget("one", 90), SplitTarget("two", 10))
    assert settings.function_table.splitters == (Splitter("split", "/split", targets),)


def test_shadow_of_a_traffic_splitter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "predictor.py").touch()
    apis = "apis: [{name: one, weight: 100}, {name: two, weight: 10, shadow: true}]"

    with pytest.raises(ConfigurationError, match="split: shadow: found true; allowed: false on La"):
        load(tmp_path, f"{APIS}- {{name: split, kind: TrafficSplitter, {apis}}}\n")


def test_options_of_the_command_line_are_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="auth: found 'none' for a public API"):
        load(tmp_path, ENDPOINT, auth="none")
    with pytest.raises(ConfigurationError, match="cache: found 'disk'; allowed: efs or tmp"):
        load(tmp_path, ENDPOINT, cache="disk")


def test_private_api_may_let_everybody_in(tmp_path: Path) -> None:
    load(tmp_path, deployment("  auth: none\n  vpc_endpoints: [vpce-0a1b]\n"))


@pytest.mark.parametrize(
    ("memory", "warned"),
    [
        ("3008MiB", ()),
        (
            "3009MiB",
            (
                "houses: compute: memory: 3009MiB; new accounts refuse functions of more than"
                " 3008MiB until their quota was raised (docs/limits.md)",
            ),
        ),
    ],
)
def test_memory_that_new_accounts_refuse_is_a_warning(
    tmp_path: Path, memory: str, warned: tuple[str, ...]
) -> None:
    settings = load(tmp_path, deployment("") + f"  compute: {{memory: {memory}}}\n")

    assert settings.warnings == warned
