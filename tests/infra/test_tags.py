"""Tags, by which costs are divided, and for how long logs are kept."""

from tests.infra.synthesis import Resource, Synthesis, functions, outputs, resources


def tags(resource: Resource) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def test_every_function_has_its_deployment_and_inference_its_endpoint(plain: Synthesis) -> None:
    name = plain.settings.name

    of_router = [tags(found) for found in functions(plain.service, "RouterFunction").values()]
    of_houses = [tags(found) for found in functions(plain.service, "Inferencehouses").values()]

    assert of_router == [{"modelyard:deployment": name}]
    both = {"modelyard:deployment": name, "modelyard:endpoint": "houses"}
    assert all(found == both for found in of_houses)


def test_queues_and_log_groups_have_their_deployment(plain: Synthesis) -> None:
    found = resources(plain.service, "SQS::Queue") | resources(plain.service, "Logs::LogGroup")

    assert {tags(one).get("modelyard:deployment") for one in found.values()} == {
        plain.settings.name
    }


def test_logs_are_kept_as_long_as_the_config_says(plain: Synthesis, changed: Synthesis) -> None:
    for synthesis, days in ((plain, 30), (changed, 7)):
        groups = resources(synthesis.service, "Logs::LogGroup")
        assert {group["RetentionInDays"] for group in groups.values()} == {days}


def test_outputs_name_every_log_group_of_a_function(plain: Synthesis) -> None:
    named = outputs(plain.service)["LogGroups"].split()
    groups = resources(plain.service, "Logs::LogGroup")

    assert {f"<{name}>" for name in groups if "AccessLogs" not in name} == set(named)
