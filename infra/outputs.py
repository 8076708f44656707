"""The outputs of a deployment: its URL, and commands to paste that fit its `auth`."""

import json
from collections.abc import Iterable

from aws_cdk import Aws, CfnOutput
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.router import RouterApi
from infra.settings import DeploySettings, PlannedEndpoint
from infra.warming import Warming

_STDIN = "fileb:///dev/stdin"
"""Both versions of the AWS CLI read bytes unchanged from here."""
_PAYLOAD = {"TargetModel": "MODEL", "ContentType": "text/csv", "Body": "1,2,3"}


class Outputs(Construct):
    """The outputs of the service's stack. Users replace `MODEL`, `KEY` and the body."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploySettings,
        router: RouterApi,
        warming: Warming,
    ) -> None:
        super().__init__(scope, name)
        self._url = router.api.url
        self._auth = settings.deployment.auth
        self._print("EndpointUrl", self._url)
        self._print("RouterFunction", f"{router.function.function_name}:live")
        for number, bucket in enumerate(settings.buckets, start=1):
            self._print(f"Bucket{number}", bucket)
        if self._auth == "iam":
            self._print(
                "ClientSetup", f'eval "$(modelyard client-setup .modelyard --url {self._url})"'
            )
        if self._auth == "key":
            self._print("CreateKey", f"modelyard keys create NAME --path {router.keys_path}")
        dead_letters_url = warming.dead_letters.queue_url
        self._print("DeadLetters", f"modelyard dead-letters --queue-url {dead_letters_url}")
        self._print_calls(settings, f"{router.function.function_name}:live")

    def print_observability(
        self, dashboard_name: str | None, log_groups: Iterable[logs.ILogGroup]
    ) -> None:
        """Print the names of the dashboard, if there is one, and of the log groups."""
        if dashboard_name is not None:
            self._print("Dashboard", dashboard_name)
        self._print("LogGroups", " ".join(group.log_group_name for group in log_groups))

    def _print_calls(self, settings: DeploySettings, function: str) -> None:
        """Print how to call the first multi-model endpoint and the first Cortex API."""
        multi = next((item for item in settings.endpoints if not item.config.endpoint.is_api), None)
        api = next((item for item in settings.endpoints if item.config.endpoint.is_api), None)
        if multi is not None:
            endpoint_name = multi.name
            bucket, folder = multi.locations[0]
            self._print("Upload", f"aws s3 cp MODEL s3://{bucket}/{folder}")
            self._print("Invoke", self._invoke(endpoint_name))
            self._print("Cli", self._cli(endpoint_name))
            self._print("Lambda", _lambda(endpoint_name, function))
        if api is not None:
            self._print("Curl", self._curl(api))

    def _print(self, name: str, value: str) -> None:
        CfnOutput(self, name, value=value).override_logical_id(name)

    def _invoke(self, endpoint_name: str) -> str:
        """Return a line for `modelyard`; with `iam`, it signs with the configured credentials."""
        more = {"iam": "", "key": " --key KEY", "none": " --no-sign"}[self._auth]
        return (
            f"modelyard invoke {endpoint_name} 1,2,3 --target-model MODEL --content-type text/csv"
            f" --url {self._url}{more}"
        )

    def _cli(self, endpoint_name: str) -> str:
        """Return a line for `aws`; with `iam`, the shell must have run the output `ClientSetup`."""
        more = {
            "iam": "",
            "key": " --no-sign-request --custom-attributes KEY",
            "none": " --no-sign-request",
        }[self._auth]
        return (
            f"echo 1,2,3 | aws sagemaker-runtime invoke-endpoint --endpoint-url {self._url}"
            f" --region {Aws.REGION}{more} --endpoint-name {endpoint_name} --target-model MODEL"
            f" --content-type text/csv --body {_STDIN} answer.json"
        )

    def _curl(self, api: PlannedEndpoint) -> str:
        """Return a line for curl; with `iam`, the environment must have AWS credentials."""
        more = {
            "iam": f' --aws-sigv4 aws:amz:{Aws.REGION}:execute-api --user "$AWS_ACCESS_KEY_ID:'
            '$AWS_SECRET_ACCESS_KEY" -H "x-amz-security-token: $AWS_SESSION_TOKEN"',
            "key": " -H 'x-api-key: KEY'",
            "none": "",
        }[self._auth]
        path = (api.functions.endpoint.route or "").lstrip("/")
        return f"curl{more} -H 'content-type: application/json' -d @sample.json {self._url}{path}"


def _lambda(endpoint_name: str, function: str) -> str:
    payload = json.dumps({"EndpointName": endpoint_name, **_PAYLOAD}, separators=(",", ":"))
    return (
        f"echo '{payload}' | aws lambda invoke --function-name {function} --payload {_STDIN}"
        " answer.json"
    )
