"""What is wrong with a Cortex API's config: where, in which words, and Cortex's name for it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard.config.files import load_config
from modelyard.domain.errors import ConfigurationError

IRIS = {"name": "iris", "model_path": "models/iris"}
SIZES = {"cache_size": 1, "disk_cache_size": 2}
BATCHING = {"max_batch_size": 3, "batch_interval": "50ms"}
TF = {"type": "tensorflow", "model_path": "models/iris"}
MISSING = object()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "predictor.py").touch()
    (tmp_path / "predictor.pickle").touch()
    (tmp_path / "models" / "iris").mkdir(parents=True)
    (tmp_path / "models" / "single.onnx").touch()
    return tmp_path


def api(predictor: Any = None, /, **keys: Any) -> dict[str, Any]:
    merged = {"type": "python", "path": "predictor.py"} | (predictor or {})
    given = {key: value for key, value in merged.items() if value is not MISSING}
    return {"name": "demo", "kind": "RealtimeAPI", "predictor": given} | keys


def refusal(project: Path, document: Any) -> list[str]:
    path = project / "cortex.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    return caught.value.message.splitlines()


def row(code: str, trail: str, words: str, predictor: Any = None, /, **keys: Any) -> Any:
    return pytest.param(code, trail, words, [api(predictor, **keys)], id=f"{code}, {trail}")


ROWS = [
    # which models
    row(
        "spec.conflicting_fields",
        "predictor",
        "found model_path and models together; allowed: one of them",
        {"model_path": "models/iris", "models": {"dir": "models"}},
    ),
    row(
        "spec.conflicting_fields",
        "predictor",
        "found models and multi_model_reloading together",
        {"models": {"dir": "models"}, "multi_model_reloading": {"dir": "models"}},
    ),
    row(
        "spec.conflicting_fields",
        "predictor: models",
        "found paths and dir together",
        {"models": {"paths": [IRIS], "dir": "models"}},
    ),
    row(
        "spec.conflicting_fields",
        "predictor: models",
        "found path and dir together",
        {"models": {"path": "models/iris", "dir": "models"}},
    ),
    row(
        "spec.conflicting_fields",
        "predictor: models: paths: [1]",
        "found path and model_path together",
        {"models": {"paths": [IRIS, IRIS | {"name": "b", "path": "models/iris"}]}},
    ),
    row(
        "spec.conflicting_fields",
        "predictor",
        "found signature_key and models.signature_key together",
        {
            "type": "tensorflow",
            "signature_key": "a",
            "models": {"path": "models/iris", "signature_key": "a"},
        },
    ),
    row(
        "spec.specify_one_or_the_other",
        "predictor: models",
        "found none of path, paths and dir; allowed: one of them",
        {"models": SIZES},
    ),
    row(
        "spec.specify_one_or_the_other",
        "predictor: models",
        "found none of path, paths and dir",
        {"models": {"paths": None}},
    ),
    row("spec.missing_model", "predictor", "found no model, which type onnx", {"type": "onnx"}),
    row("spec.missing_model", "predictor", "found no model, wh", {"type": "tensorflow"}),
    # caching
    row(
        "spec.specify_all_or_none",
        "predictor: models",
        "found cache_size alone; allowed: cache_size and disk_cache_size, or neither",
        {"models": {"dir": "models", "cache_size": 1}},
    ),
    row(
        "spec.specify_all_or_none",
        "predictor: models",
        "found disk_cache_size alone",
        {"models": {"dir": "models", "disk_cache_size": 1}},
    ),
    row(
        "spec.config_greater_than_other_config",
        "predictor: models: cache_size",
        "found 3; allowed: at most disk_cache_size, 2",
        {"models": {"dir": "models", "cache_size": 3, "disk_cache_size": 2}},
    ),
    row(
        "spec.model_caching_not_supported_when_multiprocessing_enabled",
        "predictor: processes_per_replica",
        "found 2 beside cache_size; allowed: 1",
        {"models": {"dir": "models", **SIZES}, "processes_per_replica": 2},
    ),
    row(
        "configreader.must_be_greater_than",
        "predictor: models: cache_size",
        "found 0; allowed: a whole number from 1",
        {"models": {"dir": "models", **SIZES, "cache_size": 0}},
    ),
    # what a type of predictor has
    *(
        row(
            "spec.field_not_supported_by_predictor_type",
            f"predictor: {trail}",
            f"found with type {type_}; allowed: with type tensorflow only",
            {"type": type_, "model_path": "models/iris"} | given,
        )
        for type_ in ("python", "onnx")
        for trail, given in (
            ("signature_key", {"signature_key": "a"}),
            ("tensorflow_serving_image", {"tensorflow_serving_image": "a"}),
            (
                "models: signature_key",
                {"model_path": MISSING, "models": {"dir": "models", "signature_key": "a"}},
            ),
            (
                "models: paths: [0]: signature_key",
                {"model_path": MISSING, "models": {"paths": [IRIS | {"signature_key": "a"}]}},
            ),
        )
    ),
    row(
        "spec.field_not_supported_by_predictor_type",
        "predictor: server_side_batching",
        "found with type onnx; allowed: with type tensorflow only",
        {"type": "onnx", "model_path": "models/iris", "server_side_batching": BATCHING},
    ),
    row(
        "spec.field_not_supported_by_predictor_type",
        "predictor: server_side_batching",
        "found with type python, which Cortex v0.25 and later call with lists; allowed: with type "
        "tensorflow only; remove it, and write predict for one request",
        {"server_side_batching": BATCHING},
    ),
    row(
        "spec.field_not_supported_by_predictor_type",
        "predictor: multi_model_reloading",
        "found with type onnx; allowed: with type python only",
        {"type": "onnx", "multi_model_reloading": {"dir": "models"}},
    ),
    row(
        "spec.field_not_supported_by_predictor_type",
        "compute: inf",
        "found with type onnx; allowed: with other types",
        {"type": "onnx", "model_path": "models/iris"},
        compute={"inf": 1},
    ),
    row(
        "spec.insufficient_batch_concurrency_level",
        "predictor: server_side_batching: max_batch_size",
        "found 3; allowed: at most 2",
        TF | {"server_side_batching": BATCHING, "threads_per_process": 2},
    ),
    # names of models
    row(
        "spec.duplicate_model_names",
        "predictor: models: paths: [2]: name",
        "found 'iris', the name of [0] too; allowed: one model per name; rename",
        {"models": {"paths": [IRIS, IRIS | {"name": "b"}, IRIS]}},
    ),
    row(
        "configreader.disallowed_value",
        "predictor: models: paths: [0]: name",
        "found '_cortex_default', the name kept for",
        {"models": {"paths": [IRIS | {"name": "_cortex_default"}]}},
    ),
    row(
        "configreader.alpha_numeric_dash_underscore",
        "predictor: models: paths: [0]: name",
        "found 'a.b'; allowed: letters, digits, _ and -",
        {"models": {"paths": [IRIS | {"name": "a.b"}]}},
    ),
    row(
        "configreader.cannot_be_empty",
        "predictor: models: paths: [0]: name",
        "found ''; allowed: letters",
        {"models": {"paths": [IRIS | {"name": ""}]}},
    ),
    # places of models
    *(
        row(
            "spec.incorrect_bucket_provider",
            f"predictor: {trail}",
            "found 'hdfs://b/a', which cannot be reached; allowed: an existing folder or s3://bucket",
            given,
        )
        for trail, given in (
            ("model_path", {"model_path": "hdfs://b/a"}),
            ("models: dir", {"models": {"dir": "hdfs://b/a"}}),
            ("models: path", {"models": {"path": "hdfs://b/a"}}),
            (
                "models: paths: [0]: path",
                {"models": {"paths": [{"name": "a", "path": "hdfs://b/a"}]}},
            ),
        )
    ),
    row(
        "files.dir_does_not_exist",
        "predictor: model_path",
        "found 'gone', not a folder; allowed: an existing folder",
        {"model_path": "gone"},
    ),
    row(
        "files.dir_does_not_exist",
        "predictor: models: path",
        "found 'predictor.py', not a folder",
        {"models": {"path": "predictor.py"}},
    ),
    row(
        "spec.s3_dir_not_found",
        "predictor: model_path",
        "found 's3://B_/a', not a bucket",
        {"model_path": "s3://B_/a"},
    ),
    row(
        "spec.model_path_not_directory",
        "predictor: model_path",
        "found 's3://bucket/', all there is; allowed: a folder below it",
        {"model_path": "s3://bucket/"},
    ),
    row(
        "spec.model_path_not_directory",
        "predictor: models: path",
        "found '/', all there is",
        {"models": {"path": "/"}},
    ),
    row(
        "configreader.cannot_be_empty",
        "predictor: model_path",
        "found ''; allowed: an existing folder",
        {"model_path": ""},
    ),
    # files of the project
    row(
        "files.file_does_not_exist",
        "predictor: path",
        "found 'gone.py', which does not exist; allowed: a .py file of the project",
        {"path": "gone.py"},
    ),
    row(
        "configreader.must_have_suffix",
        "predictor: path",
        "found 'predictor.pickle'; allowed: a .py file",
        {"path": "predictor.pickle"},
    ),
    row(
        "spec.must_be_relative_project_path",
        "predictor: path",
        "found '/predictor.py', which leads out of the project",
        {"path": "/predictor.py"},
    ),
    row(
        "spec.must_be_relative_project_path",
        "predictor: python_path",
        "found 'a/../..', which leads out of the project; allowed: a folder of the project",
        {"python_path": "a/../.."},
    ),
    row("spec.must_be_relative_project_path", "predictor: python_path", "", {"python_path": "~/a"}),
    row(
        "spec.python_path_not_found",
        "predictor: python_path",
        "found 'gone', which does not exist; allowed: a folder",
        {"python_path": "gone"},
    ),
    row("configreader.disallowed_value", "predictor: python_path", "", {"python_path": "./."}),
    # env and config
    row(
        "spec.cortex_prefixed_env_var_not_allowed",
        "predictor: env: CORTEX_A",
        "found a name with the prefix CORTEX_",
        {"env": {"CORTEX_A": "1"}},
    ),
    row(
        "configreader.invalid_primitive_type",
        "predictor: env: A",
        "found 1; allowed: a mapping of text to text; put other values in quotes",
        {"env": {"A": 1}},
    ),
    row("configreader.disallowed_value", "predictor: env: A=B", "", {"env": {"A=B": "1"}}),
    row("configreader.disallowed_value", "predictor: env: A", "", {"env": {"A": "\0"}}),
    row("configreader.non_string_key_found", "predictor: env: [1]", "found 1", {"env": {1: "a"}}),
    row(
        "configreader.non_string_key_found",
        "predictor: config: a: [0]",
        "found 1 as a key; allowed: text; put it in quotes",
        {"config": {"a": [{1: 2}]}},
    ),
    row(
        "configreader.invalid_interface",
        "predictor: config: a: since",
        "found b'x'; allowed: what JSON can carry; put it in quotes",
        {"config": {"a": {"since": b"x"}}},
    ),
    row("configreader.invalid_interface", "predictor: config: a", "", {"config": {"a": 1e999}}),
    row("configreader.invalid_interface", "predictor: config: a", "", {"config": {"a": 2**64}}),
    row("configreader.invalid_primitive_type", "predictor: config", "found 1", {"config": 1}),
    # any key
    row(
        "configreader.unsupported_key",
        "predictor: model_paht",
        "unknown key (did you mean 'model_path'?); allowed: type, path, model_path",
        {"model_paht": "a"},
    ),
    row("configreader.unsupported_key", "replicas", "unknown key; allowed: name", replicas=None),
    row(
        "configreader.must_be_defined",
        "predictor: type",
        "missing; allowed: python, tensorflow or onnx",
        {"type": MISSING},
    ),
    row("configreader.must_be_defined", "predictor: path", "missing", {"path": MISSING}),
    row(
        "configreader.must_be_defined",
        "predictor: models: paths: [0]: path",
        "missing; allowed: the model's folder, as path or model_path",
        {"models": {"paths": [{"name": "a"}]}},
    ),
    row(
        "configreader.cannot_be_null",
        "predictor: model_path",
        "found null; allowed: an existing folder",
        {"model_path": None},
    ),
    row(
        "configreader.cannot_be_null",
        "predictor: models",
        "found null; allowed: a mapping with path, paths, dir",
        {"models": None},
    ),
    row("configreader.cannot_be_null", "predictor", "found null; allowed: a map", predictor=None),
    row(
        "configreader.invalid_primitive_type",
        "predictor: models: paths: [1]",
        "found 7; allowed: a mapping with name, path",
        {"models": {"paths": [IRIS, 7]}},
    ),
    row(
        "configreader.invalid_primitive_type",
        "predictor: models: paths",
        "found 'a'; allowed: a list of mappings",
        {"models": {"paths": "a"}},
    ),
    row(
        "configreader.invalid_primitive_type",
        "predictor: threads_per_process",
        "found '2'; allowed: a whole number from 1",
        {"threads_per_process": "2"},
    ),
    row(
        "configreader.must_be_less_than_or_equal_to",
        "predictor: processes_per_replica",
        "found 101; allowed: a whole number from 1 to 100",
        {"processes_per_replica": 101},
    ),
    row("configreader.invalid_str", "predictor: type", "found 'Python'", {"type": "Python"}),
    row("configreader.invalid_str", "predictor: log_level", "", {"log_level": "trace"}),
    # names and paths of the API
    row("urls.dns1035", "name", "found '1a'; allowed: 1 to 42 lower-case", name="1a"),
    row("urls.dns1035", "name", "found 'a-'; allowed", name="a-"),
    row("urls.dns1035", "name", "found 'A'; allowed", name="A"),
    row("configreader.too_long", "name", "found 'aaa", name="a" * 43),
    row("urls.endpoint", "networking: endpoint", "found 'ä'", networking={"endpoint": "ä"}),
    row(
        "urls.endpoint_double_slash",
        "networking: endpoint",
        "found '/a//b'; allowed: a path",
        networking={"endpoint": "/a//b"},
    ),
    row("urls.endpoint_empty_path", "networking: endpoint", "", networking={"endpoint": "/"}),
    *(
        row("spec.duplicate_endpoint", "networking: endpoint", "found '/", **given)
        for given in (
            {"name": "ping"},
            {"networking": {"endpoint": "metrics/"}},
            {"networking": {"endpoint": "/endpoints/a"}},
        )
    ),
    # what a cluster obeys
    row(
        "spec.compute_resource_conflict",
        "compute",
        "found gpu and inf; allowed: one of them",
        compute={"gpu": 1, "inf": 1},
    ),
    row("k8s.parse_quantity", "compute: mem", "found '2GiB'; all", compute={"mem": "2GiB"}),
    row(
        "configreader.must_be_greater_than_or_equal_to",
        "compute: mem",
        "found '1Mi'; allowed: a quantity such as 20Mi, or more",
        compute={"mem": "1Mi"},
    ),
    row("configreader.unsupported_key", "autoscaling: min", "", autoscaling={"min": 1}),
    row(
        "configreader.invalid_primitive_type",
        "autoscaling: window",
        "",
        autoscaling={"window": "5"},
    ),
    row(
        "configreader.must_be_greater_than_or_equal_to",
        "autoscaling: window",
        "found '5s'; allowed: a multiple of 10s",
        autoscaling={"window": "5s"},
    ),
    row(
        "configreader.is_not_multiple",
        "autoscaling: window",
        "found '1m5s'; allowed: a multiple of 10s",
        autoscaling={"window": "1m5s"},
    ),
    row(
        "spec.min_replicas_greater_than_max",
        "autoscaling: min_replicas",
        "found 5; allowed: at most max_replicas, 3",
        autoscaling={"min_replicas": 5, "max_replicas": 3},
    ),
    row(
        "spec.init_replicas_greater_than_max",
        "autoscaling: init_replicas",
        "found 5; allowed: at most max_replicas, 3",
        autoscaling={"init_replicas": 5, "max_replicas": 3},
    ),
    row(
        "spec.init_replicas_less_than_min",
        "autoscaling: init_replicas",
        "found 1; allowed: at least min_replicas, 2",
        autoscaling={"init_replicas": 1, "min_replicas": 2},
    ),
    row(
        "spec.config_greater_than_other_config",
        "autoscaling: target_replica_concurrency",
        "found 5; allowed: at most max_replica_concurrency, 4",
        autoscaling={"target_replica_concurrency": 5, "max_replica_concurrency": 4},
    ),
    row(
        "spec.surge_and_unavailable_both_zero",
        "update_strategy",
        "found max_surge and max_unavailable of zero",
        update_strategy={"max_surge": 0, "max_unavailable": "0%"},
    ),
    row(
        "configreader.must_be_greater_than",
        "predictor: server_side_batching: batch_interval",
        "found '0s'",
        TF | {"server_side_batching": BATCHING | {"batch_interval": "0s"}},
    ),
    row(
        "configreader.invalid_primitive_type",
        "update_strategy: max_surge",
        "found 'all'; allowed: a whole number or a percentage",
        update_strategy={"max_surge": "all"},
    ),
    row("configreader.invalid_str", "monitoring: model_type", "", monitoring={"model_type": "a"}),
]


@pytest.mark.parametrize(("code", "trail", "words", "document"), ROWS)
def test_c41_a_problem_is_told_with_its_place_and_name(
    project: Path, code: str, trail: str, words: str, document: Any
) -> None:
    [line] = refusal(project, document)

    name = document[0]["name"]
    assert line.startswith(f"cortex.yaml: {name} (RealtimeAPI): {trail}: {words}")
    assert line.endswith(f" ({code})")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a", "found a mapping; allowed: a list of resources"),
        ("[7]", "resource 1: found 7; allowed: a mapping with name and kind"),
    ],
)
def test_c41_a_file_that_is_no_list_of_mappings_is_malformed(
    project: Path, text: str, line: str
) -> None:
    assert refusal(project, text) == [f"cortex.yaml: {line} (spec.malformed_config)"]


def test_c41_an_api_shares_its_name_with_nobody(project: Path) -> None:
    other = {"name": "demo", "kind": "MultiModelEndpoint", "models": {"path": "models"}}

    assert refusal(project, [api(), other]) == [
        "cortex.yaml: demo: name: given to 2 resources; allowed: one resource per name "
        "(spec.duplicate_name)"
    ]


def test_c41_an_api_shares_its_path_with_nobody(project: Path) -> None:
    [line] = refusal(project, [api(), api(name="b", networking={"endpoint": "demo/"})])

    assert line.startswith(
        "cortex.yaml: b (RealtimeAPI): networking: endpoint: found '/demo', the path of demo, too;"
    )
    assert line.endswith(" (spec.duplicate_endpoint_in_one_deploy)")


@pytest.mark.parametrize("kind", ["BatchAPI", "TaskAPI", "AsyncAPI"])
def test_other_kinds_of_cortex_are_refused_by_name(project: Path, kind: str) -> None:
    assert refusal(project, [api(kind=kind)]) == [
        f"cortex.yaml: demo: kind: {kind} is not supported; "
        "allowed: MultiModelEndpoint, RealtimeAPI, TrafficSplitter, Deployment"
    ]


def test_config_that_holds_itself_is_refused(project: Path) -> None:
    predictor = "{type: python, path: predictor.py, config: &a {a: [*a]}}"

    [line] = refusal(project, f"- {{name: demo, kind: RealtimeAPI, predictor: {predictor}}}")

    assert "not valid YAML: an alias inside the value that it names" in line


def test_a_file_too_long_to_exist_is_missing(project: Path) -> None:
    [line] = refusal(project, [api({"path": "p" * 9999 + ".py"})])

    assert "which does not exist" in line
    assert len(line) < 500


def test_all_problems_of_all_apis_are_told_together(project: Path) -> None:
    first = api({"type": "perl", "models": {"paths": [IRIS, IRIS], "cache_size": 1}}, name="a")
    second = api({"env": {"CORTEX_A": "1"}}, name="b", compute={"cpu": "lots"}, extra=1)

    lines = refusal(project, [first, second, {"name": "c", "kind": "Cron"}])

    assert [line.split(": found")[0].removeprefix("cortex.yaml: ") for line in lines[:5]] == [
        "a (RealtimeAPI): predictor: type",
        "a (RealtimeAPI): predictor: models: paths: [1]: name",
        "a (RealtimeAPI): predictor: models",
        "b (RealtimeAPI): predictor: env: CORTEX_A",
        "b (RealtimeAPI): compute: cpu",
    ]
    assert [line.split(": ")[1:3] for line in lines[5:]] == [
        ["b (RealtimeAPI)", "extra"],
        ["c", "kind"],
    ]


def splitter(apis: Any, /, **keys: Any) -> dict[str, Any]:
    return {"name": "split", "kind": "TrafficSplitter", "apis": apis} | keys


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (splitter([{"name": "demo", "weight": 99}]), "apis: found weights of 99 in total"),
        (splitter([{"name": "other", "weight": 100}]), "apis: found 'other', which is no Realtime"),
        (splitter([{"name": "demo", "weight": 50}] * 2), "apis: found an API twice"),
        (splitter([{"name": "demo", "weight": 101}]), "apis: [0]: weight: found 101; allowed"),
        (splitter([{"name": "demo"}]), "apis: [0]: weight: missing; allowed: a whole number"),
        (splitter([]), "apis: found []; allowed: a list of mappings with name and weight"),
        (
            splitter([{"name": "demo", "weight": 100}], networking={"endpoint": "/demo"}),
            "networking: endpoint: found '/demo', the path of demo, too",
        ),
        (
            splitter([{"name": "demo", "weight": 100}], networking={"endpoint": "/ping"}),
            "networking: endpoint: found '/ping', where the server itself answers",
        ),
        (
            splitter(
                [
                    {"name": "demo", "weight": 100},
                    {"name": "b", "weight": 1, "shadow": True},
                    {"name": "c", "weight": 1, "shadow": True},
                ]
            ),
            "apis: found several shadows; allowed: one",
        ),
    ],
)
def test_a_wrong_splitter_is_refused(project: Path, document: Any, words: str) -> None:
    [line] = refusal(project, [api(), document])

    assert line.startswith(f"cortex.yaml: split (TrafficSplitter): {words}")
