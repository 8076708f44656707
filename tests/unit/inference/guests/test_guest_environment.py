import pytest

from modelyard.inference.guests.guest_environment import without_secrets


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_LAMBDA_RUNTIME_API",
        "MODELYARD_KEY",
        "MODELYARD_WARM_QUEUE_URL",
    ],
)
def test_secrets_of_the_server_are_removed(name):
    assert without_secrets({name: "secret"}) == {}


@pytest.mark.parametrize(
    "name", ["PATH", "AWS_REGION", "SAGEMAKER_PROGRAM", "OMP_NUM_THREADS", "HF_TOKEN"]
)
def test_what_configures_scripts_is_kept(name):
    assert without_secrets({name: "kept"}) == {name: "kept"}
