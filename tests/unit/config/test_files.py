from pathlib import Path

import pytest

from modelyard.config.endpoint_config import RequestedCompute, is_endpoint_name, resource_for_path
from modelyard.config.files import load_config
from modelyard.domain.endpoints import AccessRule, Endpoint, Preload, ResidenceRule
from modelyard.domain.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "modelyard.yaml"
    path.write_text(text)
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    return caught.value.message.splitlines()


def test_every_key_reaches_the_endpoint(folder: Path) -> None:
    path = write(
        folder,
        """
        - name: housing
          kind: MultiModelEndpoint
          models:
            {path: models, allow_code: true, revalidate: 500ms, caching: Disabled, output: label}
          compute: {memory: 512MiB, shards: 2, timeout: 6m, runtime: onnx}
          sync_window: 20s
          not_ready_status: 429
          components: {churn-eu: /eu/churn.tar.gz}
          residence: [{models: ["eu/*"], keep_loaded: true, preload: all}, {idle_unload: 1h}]
          access: [{principal: "team-*", allow: ["a/*"], deny: ["a/b"]}, {principal: admin}]
        """,
    )

    [resource] = load_config(path).endpoints

    assert resource.endpoint == Endpoint(
        name="housing",
        repository=(folder / "models").as_uri() + "/",
        allow_code=True,
        revalidate_s=0.5,
        keep_loaded=False,
        sync_window_s=20.0,
        not_ready_status=429,
        access=(AccessRule("team-*", ("a/*",), ("a/b",)), AccessRule("admin")),
        components={"churn-eu": "eu/churn.tar.gz"},
        residence=(
            ResidenceRule(("eu/*",), is_pinned=True, preload=Preload.ALL),
            ResidenceRule(idle_unload_s=3600.0),
        ),
        output="label",
    )
    assert resource.compute == RequestedCompute(512 * 1024**2, 2, 360.0, "onnx")


def test_what_is_left_out_has_the_documented_defaults(folder: Path) -> None:
    path = write(folder, "- {name: a, kind: MultiModelEndpoint, models: {path: models}}")

    [resource] = load_config(path).endpoints

    assert resource.endpoint == Endpoint("a", (folder / "models").as_uri() + "/")
    assert resource.compute == RequestedCompute(2048 * 1024**2, 8, 360.0, "auto")


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket/", "s3://bucket/"),
        ("s3://bucket/a/b", "s3://bucket/a/b/"),
        ("s3://bucket/a b/", "s3://bucket/a b/"),
    ],
)
def test_a_prefix_becomes_a_uri_that_ends_in_a_slash(folder: Path, location: str, uri: str) -> None:
    path = write(folder, f"- {{name: a, kind: MultiModelEndpoint, models: {{path: '{location}'}}}}")

    [resource] = load_config(path).endpoints

    assert resource.endpoint.repository == uri


def test_a_relative_folder_is_relative_to_the_config_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "- {name: a, kind: MultiModelEndpoint, models: {path: ./models}}")
    monkeypatch.chdir("/")

    [resource] = load_config(path).endpoints

    assert resource.endpoint.repository == (folder / "models").as_uri() + "/"


# Each line holds the line above nine times: 9**12 values in half a kilobyte.
BOMB = "- &l0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"- &l{level} [{','.join([f'*l{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
VALID = "name: a\n  kind: MultiModelEndpoint\n  models:\n    path: models"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ": found nothing; allowed: a list", id="empty"),
        pytest.param("name: a", ": found a mapping; allowed: a list", id="not a list"),
        pytest.param("- a: [", ": line 1, column 7: not valid YAML: ", id="syntax"),
        pytest.param("- {a: 1, a: 2}", "the key 'a' is given 2 times", id="key given twice"),
        pytest.param(
            "--- 1\n--- 2",
            "not valid YAML: expected a single document in the stream: but found another",
            id="documents",
        ),
        pytest.param("- " * 3000, "not valid YAML: maximum recursion", id="nested too deeply"),
        pytest.param("- \0", "not valid YAML: unacceptable character", id="binary"),
        pytest.param("- 7", ": resource 1: found 7; allowed: a mapping", id="not a mapping"),
        pytest.param(
            f"- 0x1{'0' * 9999}", "resource 1: found a very long int; allowed", id="long number"
        ),
        pytest.param("- {name: a}", ": a: kind: missing; allowed: Multi", id="no kind"),
        pytest.param(
            "- {name: a, kind: MultiModelEndpont}",
            ": a: kind: found 'MultiModelEndpont' (did you mean 'MultiModelEndpoint'?); allowed:",
            id="wrong kind",
        ),
        pytest.param("- {name: a, kind: [x]}", ": a: kind: found ['x']; allowed:", id="kind list"),
        pytest.param(
            "- {name: a, kind: BatchAPI}",
            ": a: kind: BatchAPI is not supported; allowed: MultiModelEndpoint, RealtimeAPI",
            id="other kind of Cortex",
        ),
        pytest.param(BOMB, "line 1, column 1: not valid YAML: the aliases expand", id="aliases"),
        pytest.param(
            "- &a [*a]",
            "column 3: not valid YAML: an alias inside the value that it names",
            id="endless alias",
        ),
        pytest.param(
            "- &a {b: *a}", "not valid YAML: an alias inside the value", id="endless mapping"
        ),
        pytest.param(
            f"- &a {'x' * 1000}\n- [{', '.join(['*a'] * 1001)}]",
            "not valid YAML: the aliases expand",
            id="long text",
        ),
        pytest.param('- "\\ud800"', "column 3: not valid YAML: unpaired surr", id="surrogate"),
        pytest.param(
            "- {kind: MultiModelEndpoint, models: {path: models}}",
            ": resource 1: name: missing; allowed: 1 to 63 letters",
            id="no name",
        ),
        pytest.param(
            "- {name: a_b, kind: MultiModelEndpoint, models: {path: models}}",
            ": a_b: name: found 'a_b'; allowed: 1 to 63 letters",
            id="bad name",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint}",
            ": a: models: missing; allowed: a mapping with path, allow_code",
            id="no models",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: here}",
            ": a: models: found 'here'; allowed: a mapping with path",
            id="models is text",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: gone}}",
            ": a: models: path: found 'gone', not a folder; allowed: an existing folder or s3://",
            id="folder is missing",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: 'abfss://c@a.dfs/m'}}",
            ": a: models: path: found 'abfss://c@a.dfs/m'; for Azure, write az://container/prefix",
            id="another form of Azure's URIs",
        ),
        pytest.param(
            f"- {{name: a, kind: MultiModelEndpoint, models: {{path: {'p' * 9999}}}}}",
            "..., not a folder; allowed: an existing folder",
            id="folder with too long a name",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: modelyard.yaml}}",
            "not a folder",
            id="folder is a file",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: 's3://bucket'},"
            " async_invocations: {output: 's3://bucket/größe'}}",
            "a: async_invocations: output: found 's3://bucket/größe/'; allowed: ASCII",
            id="results where no header can name them",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: 's3://bucket'},"
            " async_invocations: {output: 's3://bucket', error_topic: errors}}",
            "a: async_invocations: error_topic: found 'errors'; allowed: arn:aws:sns:REGION:ACC",
            id="topic without its ARN",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: 's3://bucket'},"
            " async_invocations: {output: 's3://bucket',"
            " success_topic: 'arn:aws:sns:eu-west-1:123456789012:all.fifo'}}",
            "a: async_invocations: success_topic: found 'arn:aws:sns:eu-west-1:123456789012:all.f",
            id="topic that is FIFO",
        ),
        pytest.param(
            "- {name: a, kind: MultiModelEndpoint, models: {path: 's3://B_/x'}}",
            ": a: models: path: found 's3://B_/x', not a bucket; allowed: an existing folder",
            id="bad bucket",
        ),
        pytest.param(
            f"- {VALID}\n    revalidat: 1s",
            ": a: models: revalidat: unknown key (did you mean 'revalidate'?); allowed: path, ",
            id="unknown key",
        ),
        pytest.param(f"- {VALID}\n  1: 2", ": a: 1: unknown key; allowed: name, ", id="number key"),
        pytest.param(
            f"- {VALID}\n    revalidate: soon",
            ": a: models: revalidate: found 'soon'; allowed: a duration such as",
            id="bad duration",
        ),
        pytest.param(
            f"- {VALID}\n  sync_window: yes",
            ": a: sync_window: found True; allowed: a duration",
            id="boolean duration",
        ),
        pytest.param(
            f"- {VALID}\n    allow_code: 'yes'",
            ": a: models: allow_code: found 'yes'; allowed: true or false",
            id="boolean in quotes",
        ),
        pytest.param(
            f"- {VALID}\n    caching: on",
            ": a: models: caching: found True; allowed: Enabled or Disabled",
            id="bad caching",
        ),
        pytest.param(
            f"- {VALID}\n  compute: {{memory: 2Gi}}",
            ": a: compute: memory: found '2Gi'; allowed: a size",
            id="bad size",
        ),
        pytest.param(
            f"- {VALID}\n  compute: {{shards: 0}}",
            ": a: compute: shards: found 0; allowed: a whole number from 1",
            id="no shards",
        ),
        pytest.param(
            f"- {VALID}\n  compute: {{runtime: java}}",
            ": a: compute: runtime: found 'java'; allowed: auto, onnx",
            id="bad runtime",
        ),
        pytest.param(
            f"- {VALID}\n  components: {{churn_eu: m}}",
            ": a: components: churn_eu: found 'churn_eu'; allowed: 1 to 63 letters",
            id="bad component",
        ),
        pytest.param(
            f"- {VALID}\n  components: {{churn-eu: ../m}}",
            ": a: components: churn-eu: found '../m'; allowed: the name of a model below",
            id="component outside",
        ),
        pytest.param(
            f"- {VALID}\n  components: [m]",
            ": a: components: found ['m']; allowed: a mapping of names of inference components",
            id="components in a list",
        ),
        pytest.param(
            f"- {VALID}\n  residence: [{{keep_loaded: true, idle_unload: 1h}}]",
            ": a: residence: [0]: found keep_loaded and idle_unload; allowed: one of them",
            id="kept and unloaded",
        ),
        pytest.param(
            f"- {VALID}\n  residence: [{{preload: true}}]",
            ": a: residence: [0]: preload: found True; allowed: none, all or last",
            id="bad preload",
        ),
        pytest.param(
            f"- {VALID}\n  not_ready_status: 418",
            ": a: not_ready_status: found 418; allowed: auto, 429 or 503",
            id="bad status",
        ),
    ],
)
def test_a_faulty_file_is_refused_in_one_line(folder: Path, text: str, expected: str) -> None:
    path = write(folder, text)

    [line] = refusal(path)

    assert line.startswith("modelyard.yaml: ")
    assert expected in line


def test_names_that_clash_are_refused(folder: Path) -> None:
    path = write(folder, f"- {VALID}\n- {VALID}\n- {VALID.replace('name: a', 'name: b')}")

    assert refusal(path) == [
        "modelyard.yaml: a: name: given to 2 resources; allowed: one resource per name"
    ]


def test_all_problems_of_a_file_are_reported_together(folder: Path) -> None:
    path = write(
        folder,
        """
        - {name: a, kind: MultiModelEndpoint, models: {path: gone, caching: 1}, sync: 1}
        - {name: b, kind: Nothing}
        - {name: b, kind: MultiModelEndpoint, models: {path: models}}
        """,
    )

    breadcrumbs = [line.removeprefix("modelyard.yaml: ").split(":")[:2] for line in refusal(path)]

    assert breadcrumbs == [
        ["a", " models"],
        ["a", " models"],
        ["a", " sync"],
        ["b", " kind"],
        ["b", " name"],
    ]


def test_a_file_that_is_not_there_is_named_without_its_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.yaml") == [
        "gone.yaml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("folder_name", "endpoint_name"),
    [
        ("housing", "housing"),
        ("my models_2", "my-models-2"),
        ("_x_", "x"),
        ("größe", "gr-e"),
        ("a" * 62 + "--b", "a" * 62),
        ("n" * 80, "n" * 63),
    ],
)
def test_an_endpoint_is_named_by_its_folder(
    tmp_path: Path, folder_name: str, endpoint_name: str
) -> None:
    (tmp_path / folder_name).mkdir()

    endpoint = resource_for_path(str(tmp_path / folder_name)).endpoint

    assert endpoint == Endpoint(endpoint_name, (tmp_path / folder_name).as_uri() + "/")
    assert is_endpoint_name(endpoint.name)


def test_the_current_folder_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "housing").mkdir()
    monkeypatch.chdir(tmp_path / "housing")

    assert resource_for_path(".").endpoint.name == "housing"


@pytest.mark.parametrize(
    ("target", "name"),
    [("s3://bucket/a/b_c/", "b-c"), ("s3://bucket", "bucket"), ("s3://my.bucket/", "my-bucket")],
)
def test_an_endpoint_is_named_by_its_prefix(target: str, name: str) -> None:
    assert resource_for_path(target).endpoint.name == name


def test_a_given_name_wins() -> None:
    assert resource_for_path("s3://bucket/a", "b").endpoint == Endpoint("b", "s3://bucket/a/")


@pytest.mark.parametrize(
    ("target", "name", "message"),
    [
        pytest.param("/", None, "give one with --endpoint", id="nothing to make a name of"),
        pytest.param("/", "a_b", "--endpoint: found 'a_b'; allowed: 1 to 63", id="bad name"),
        pytest.param("gone", None, "allowed: an existing folder or s3://", id="neither"),
        pytest.param("", None, "allowed: an existing folder or s3://", id="empty"),
        pytest.param("s3://", None, "not a bucket", id="no bucket"),
    ],
)
def test_a_target_that_makes_no_endpoint_is_refused(
    target: str, name: str | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resource_for_path(target, name)


@pytest.mark.parametrize("name", ["a", "A9", "a-b", "a--b", "a" * 63])
def test_a_legal_endpoint_name(name: str) -> None:
    assert is_endpoint_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a.b", "ä", "a\n", "a" * 64])
def test_an_illegal_endpoint_name(name: str) -> None:
    assert not is_endpoint_name(name)


@pytest.mark.parametrize(
    ("access", "problem"),
    [
        ("[]", "found []; allowed: null, or a list of one rule or more"),
        (
            "[{principal: a, alow: [x]}]",
            "[0]: alow: unknown key (did you mean 'allow'?); allowed: principal, allow, deny",
        ),
        (
            "[{allow: [x]}]",
            "[0]: principal: missing; allowed: the ARN of an AWS identity or the name of a key;"
            " * and ?",
        ),
        (
            "[{principal: a, deny: x}]",
            "[0]: deny: found 'x'; allowed: a list of texts, in which * is any run of characters"
            " and ? any one",
        ),
    ],
)
def test_wrong_access_rules_open_nothing(folder: Path, access: str, problem: str) -> None:
    path = write(
        folder,
        f"- {{name: a, kind: MultiModelEndpoint, models: {{path: models}}, access: {access}}}",
    )

    assert refusal(path) == [f"modelyard.yaml: a: access: {problem}"]


def test_aliases_and_merges_are_read(tmp_path):
    (tmp_path / "models").mkdir()
    text = (
        "- &a {name: a, kind: MultiModelEndpoint, models: &m {path: models}}\n"
        "- {<<: *a, name: b}\n- {name: c, kind: MultiModelEndpoint, models: *m}\n"
    )
    (tmp_path / "modelyard.yaml").write_text(text)

    config = load_config(tmp_path / "modelyard.yaml")

    assert [found.endpoint.name for found in config.endpoints] == ["a", "b", "c"]
