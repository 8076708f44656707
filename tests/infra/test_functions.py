"""The functions: how many, what they are given, and what they are told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.settings import load_settings
from infra.wheels import PYTHON_VERSION
from modelyard.aws.function_settings import InferenceSettings, RouterSettings, WarmerSettings
from modelyard.aws.function_table import parse_function_table
from modelyard.cortex.settings import ApiSettings
from tests.infra.synthesis import PROJECTS, ROOT, Resource, Synthesis, functions, resources, text

QUEUE = {"Ref": "WarmingQueue51741EC0"}


def environment(function: Resource) -> dict[str, Any]:
    variables: dict[str, Any] = function["Environment"]["Variables"]
    return variables


def only(synthesis: Synthesis, prefix: str) -> Resource:
    (function,) = functions(synthesis.service, prefix).values()
    return function


def test_every_shard_is_a_function_of_the_name_the_router_calls(plain: Synthesis) -> None:
    deployed = [item.functions for item in plain.settings.endpoints]
    names = [item.function_name(shard) for item in deployed for shard in range(item.shards)]

    made = functions(plain.service, "Inference").values()

    assert [function["FunctionName"] for function in made] == names
    assert len(names) == 3 + 1


def test_shards_of_an_endpoint_share_role_log_and_image(plain: Synthesis) -> None:
    shards = functions(plain.service, "Inferencehouses").values()

    for shared in ("Role", "LoggingConfig", "Code"):
        assert len({json.dumps(function[shared]) for function in shards}) == 1


def test_endpoints_do_not_share_roles(plain: Synthesis) -> None:
    made = functions(plain.service, "Inference").values()

    assert len({json.dumps(function["Role"]) for function in made}) == 2


@pytest.mark.parametrize(
    ("prefix", "memory", "timeout"),
    [
        ("Inferencehouses", 3072, 300),
        ("Inferencewords", 2048, 360),
        ("WarmingFunction", 256, 380),
        ("RouterFunction", 1024, 29),
    ],
)
def test_memory_and_timeout(plain: Synthesis, prefix: str, memory: int, timeout: int) -> None:
    for function in functions(plain.service, prefix).values():
        assert (function["MemorySize"], function["Timeout"]) == (memory, timeout)


def test_functions_are_arm64_unless_told_otherwise(plain: Synthesis, changed: Synthesis) -> None:
    for synthesis, architecture in ((plain, "arm64"), (changed, "x86_64")):
        for function in functions(synthesis.service, "").values():
            assert function["Architectures"] == [architecture]


def test_logs_are_json_in_groups_that_forget(plain: Synthesis) -> None:
    for function in functions(plain.service, "").values():
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        group = resources(plain.service, "Logs::LogGroup")[
            function["LoggingConfig"]["LogGroup"]["Ref"]
        ]
        assert group["RetentionInDays"] == 30


def test_router_is_told_what_its_settings_class_reads(plain: Synthesis) -> None:
    variables = environment(only(plain, "RouterFunction"))

    assert variables["MODELYARD_WARM_QUEUE_URL"] == QUEUE
    assert variables["MODELYARD_ACCOUNT"] == {"Ref": "AWS::AccountId"}
    told = {name: text(value) for name, value in variables.items()}
    settings = RouterSettings(
        endpoints_file="/opt/modelyard/endpoints.json",
        warm_queue_url=text(QUEUE),
        auth="iam",
        account="<AWS::AccountId>",
    )
    assert RouterSettings.from_environ(told) == settings
    assert told == settings.to_environ()


def test_router_with_keys_is_told_where_they_are(changed: Synthesis) -> None:
    told = {name: text(item) for name, item in environment(only(changed, "Router")).items()}

    settings = RouterSettings.from_environ(told)

    assert (settings.auth, settings.keys_path) == ("key", "/modelyard/yard/keys")
    assert told == settings.to_environ()


def test_router_of_a_private_api_lets_everybody_in(private: Synthesis) -> None:
    told = {name: text(item) for name, item in environment(only(private, "Router")).items()}

    assert RouterSettings.from_environ(told).auth == "none"


def test_warmer_is_told_what_its_settings_class_reads(plain: Synthesis) -> None:
    variables = environment(only(plain, "WarmingFunction"))

    told = {name: text(value) for name, value in variables.items()}
    settings = WarmerSettings(
        "/opt/modelyard/endpoints.json", text(QUEUE), account="<AWS::AccountId>"
    )
    assert WarmerSettings.from_environ(told) == settings
    assert told == settings.to_environ()


def test_functions_are_told_the_queue_of_asynchronous_invocations(changed: Synthesis) -> None:
    router, warmer = (
        {name: text(item) for name, item in environment(only(changed, name)).items()}
        for name in ("Router", "WarmingFunction")
    )

    url = RouterSettings.from_environ(router).async_queue_url
    assert url.startswith("<WarmingAsyncQueue")
    settings = WarmerSettings.from_environ(warmer)
    assert (settings.async_queue_url, settings.account) == (url, "<AWS::AccountId>")


def test_inference_is_told_what_its_settings_class_reads(plain: Synthesis) -> None:
    variables = environment(functions(plain.service, "Inferencehouses").popitem()[1])

    settings = InferenceSettings.from_environ(variables)

    assert settings == InferenceSettings("/mnt/models", (3072 - 384) << 20, 100 << 30)
    assert variables == settings.to_environ() | {"ORT_DISABLE_TELEMETRY": "1"}


def test_inference_without_a_file_system_stages_in_tmp(changed: Synthesis) -> None:
    function = only(changed, "Inference")

    settings = InferenceSettings.from_environ(environment(function))

    assert settings.cache_dir == "/tmp/modelyard"
    assert settings.disk_bytes < function["EphemeralStorage"]["Size"] << 20 == 10 << 30
    assert "FileSystemConfigs" not in function


def test_file_system_is_mounted_through_its_access_point(plain: Synthesis) -> None:
    for function in functions(plain.service, "Inference").values():
        (mount,) = function["FileSystemConfigs"]
        assert mount["LocalMountPath"] == "/mnt/models"
        assert "access-point/<yard-data:ExportsOutputRefCacheArtifacts" in text(mount["Arn"])
        assert "EphemeralStorage" not in function


def test_inference_alone_is_in_the_network(plain: Synthesis) -> None:
    for name, function in functions(plain.service, "").items():
        assert ("VpcConfig" in function) == name.startswith("Inference")


def test_tenants_are_one_function_that_keeps_models_apart(
    plain: Synthesis, changed: Synthesis
) -> None:
    function = only(changed, "Inference")

    assert function["TenancyConfig"] == {"TenantIsolationMode": "PER_TENANT"}
    (endpoint,) = changed.settings.endpoints
    assert endpoint.functions.per_tenant
    assert not any("TenancyConfig" in item for item in functions(plain.service, "").values())


def test_router_starts_from_a_snapshot_of_the_version_that_is_called(plain: Synthesis) -> None:
    (alias,) = resources(plain.service, "Lambda::Alias").values()
    (version,) = resources(plain.service, "Lambda::Version")

    assert only(plain, "RouterFunction")["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert alias["Name"] == "live"
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}


def test_zip_functions_have_the_layers_of_their_packages(plain: Synthesis) -> None:
    for prefix in ("RouterFunction", "WarmingFunction"):
        function = only(plain, prefix)
        layers = {layer["Ref"][:-8] for layer in function["Layers"]}
        assert layers == {"Package", "Dependencies", "Endpoints"}
        assert (function["Runtime"], function["Handler"]) == ("python3.13", "handler.handler")


def test_all_functions_have_one_python() -> None:
    from infra.assets import PYTHON  # imports the CDK

    dockerfile = (ROOT / "functions/inference/Dockerfile").read_text()

    (of_images,) = re.findall(r"lambda/python:(3\.\d+)", dockerfile)

    assert {f"python{of_images}", f"python{PYTHON_VERSION}"} == {PYTHON.name}


def test_image_has_the_base_of_the_config(plain: Synthesis, changed: Synthesis) -> None:
    _, by_tag = image(plain, "auto")
    _, by_digest = image(changed, "auto")

    assert "BASE_IMAGE" not in by_tag["dockerBuildArgs"]
    assert by_digest["dockerBuildArgs"]["BASE_IMAGE"].startswith("public.ecr.aws/lambda/python@")


def test_endpoints_travel_in_a_layer(plain: Synthesis) -> None:
    (file,) = plain.folder.glob("asset.*/modelyard/endpoints.json")

    deployed = parse_function_table(file.read_bytes())

    assert deployed == plain.settings.function_table


def image(synthesis: Synthesis, runtime: str) -> tuple[Path, Resource]:
    """Return the context of the image of a runtime, and how it is built."""
    assets = json.loads((synthesis.folder / f"{synthesis.settings.name}.assets.json").read_text())
    (source,) = (
        item["source"]
        for item in assets["dockerImages"].values()
        if item["source"]["dockerBuildArgs"]["RUNTIME"] == runtime
    )
    return synthesis.folder / source["directory"], source


@pytest.mark.parametrize("runtime", ["auto", "onnx"])
def test_image_has_what_its_dockerfile_copies(plain: Synthesis, runtime: str) -> None:
    folder, source = image(plain, runtime)
    dockerfile = (folder / source["dockerFile"]).read_text()

    for part in re.findall(r"^COPY \S+ (\S+)", dockerfile, re.MULTILINE):
        assert (folder / part).exists()
    assert source["platform"] == "linux/arm64"
    assert [path.name for path in (folder / "project").iterdir()] == [".keep"]
    assert not [*folder.rglob("__pycache__")]


def test_image_of_a_cortex_api_has_its_project_and_what_its_function_is_told(
    cortex: Synthesis,
) -> None:
    folder, _ = image(cortex, "python")
    (endpoint,) = cortex.settings.endpoints
    variables = environment(only(cortex, "Inference"))

    project = folder / "project"
    told = ApiSettings.from_line((project / ".modelyard.json").read_bytes())

    assert {path.name for path in project.iterdir()} == {
        ".modelyard.json",
        "cortex.yaml",
        "predictor.py",
        "requirements.txt",
    }
    assert variables["MODELYARD_PROJECT_FILE"] == "/var/task/project/.modelyard.json"
    assert variables["GREETING"] == "hello"
    assert told.project.folder == "/var/task/project"
    assert (told.project.config, told.project.predictor_file) == (
        {"unit": "miles"},
        "predictor.py",
    )
    called = endpoint.functions.endpoint
    assert (told.repository, told.revalidate_s, told.window_s) == (
        called.repository,
        called.revalidate_s,
        called.sync_window_s,
    )
    assert called.repository == "file:///cortex.yaml#mpg"


def test_api_is_one_function_with_the_memory_it_asks_for(cortex: Synthesis) -> None:
    assert only(cortex, "Inference")["MemorySize"] == 1024


def test_names_change_with_what_lambda_cannot_change() -> None:
    file = PROJECTS / "plain.yaml"
    names = {
        tuple(item.functions.name_prefix for item in load_settings(file, options).endpoints)
        for options in ({}, {"affinity": "tenant"}, {"architecture": "x86_64"})
    }
    same = {
        tuple(item.functions.name_prefix for item in load_settings(file, options).endpoints)
        for options in ({}, {"auth": "key"}, {"cache": "tmp"}, {"efs_throughput": "elastic"})
    }

    assert len(names) == 3
    assert len(same) == 1
