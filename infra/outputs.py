"""What a deployment prints: where it is, and lines to paste, right for how callers are let in."""

import json

from aws_cdk import Aws, CfnOutput
from constructs import Construct

from infra.router import RouterApi
from infra.settings import DeployedModels, DeploySettings

_STDIN = "fileb:///dev/stdin"
"""Where both versions of the AWS CLI read bytes as they are."""
_PAYLOAD = {"TargetModel": "MODEL", "ContentType": "text/csv", "Body": "1,2,3"}


class Outputs(Construct):
    """The outputs of the service's stack. `MODEL`, `KEY` and the body are the reader's to fill."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploySettings, router: RouterApi
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
        self._print_calls(settings, f"{router.function.function_name}:live")

    def _print_calls(self, settings: DeploySettings, function: str) -> None:
        """Print how to call the first endpoint, and the first Cortex API."""
        multi = next(
            (item for item in settings.endpoints if not item.deployed.endpoint.is_api), None
        )
        api = next((item for item in settings.endpoints if item.deployed.endpoint.is_api), None)
        if multi is not None:
            endpoint_name = multi.deployed.endpoint.name
            bucket, folder = multi.locations[0]
            self._print("Upload", f"aws s3 cp MODEL s3://{bucket}/{folder}")
            self._print("Boto3", self._boto3(endpoint_name))
            self._print("Cli", self._cli(endpoint_name))
            self._print("Lambda", _lambda(endpoint_name, function))
        if api is not None:
            self._print("Curl", self._curl(api))

    def _print(self, name: str, value: str) -> None:
        CfnOutput(self, name, value=value).override_logical_id(name)

    def _boto3(self, endpoint_name: str) -> str:
        more = {
            "iam": "",
            "key": ", key='KEY'",
            "none": ", signature_version=__import__('botocore').UNSIGNED",
        }[self._auth]
        return (
            f"import modelyard; print(modelyard.client('{self._url}'{more}).invoke_endpoint("
            f"EndpointName='{endpoint_name}', TargetModel='MODEL', ContentType='text/csv',"
            " Body=b'1,2,3')['Body'].read())"
        )

    def _cli(self, endpoint_name: str) -> str:
        """Return a line for `aws`; with `iam`, of a shell that has done as `ClientSetup` says."""
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

    def _curl(self, api: DeployedModels) -> str:
        """Return a line for curl; with `iam`, of a shell whose environment has credentials."""
        more = {
            "iam": f' --aws-sigv4 aws:amz:{Aws.REGION}:execute-api --user "$AWS_ACCESS_KEY_ID:'
            '$AWS_SECRET_ACCESS_KEY" -H "x-amz-security-token: $AWS_SESSION_TOKEN"',
            "key": " -H 'x-api-key: KEY'",
            "none": "",
        }[self._auth]
        path = (api.deployed.endpoint.route or "").lstrip("/")
        return f"curl{more} -H 'content-type: application/json' -d @sample.json {self._url}{path}"


def _lambda(endpoint_name: str, function: str) -> str:
    payload = json.dumps({"EndpointName": endpoint_name, **_PAYLOAD}, separators=(",", ":"))
    return (
        f"echo '{payload}' | aws lambda invoke --function-name {function} --payload {_STDIN}"
        " answer.json"
    )
