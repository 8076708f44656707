"""What becomes of a Cortex API's config: projects, routes and warnings."""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.config.files import Config, EndpointConfig, RequestedCompute, load_config
from modelyard.cortex.project import ApiModels, ApiProject, ModelLocation, PredictorType
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ConfigurationError

MODELS = ("linreg", "inception", "iris", "resnet50", "mobilenet", "shufflenet")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "predictor.py").touch()
    (tmp_path / "src").mkdir()
    for model in MODELS:
        (tmp_path / "models" / model / "1").mkdir(parents=True)
    (tmp_path / "models" / "single.onnx").touch()
    return tmp_path


def load(project: Path, text: str) -> Config:
    path = project / "cortex.yaml"
    path.write_text(text)
    return load_config(path)


def api(**keys: Any) -> dict[str, Any]:
    predictor = {"type": "python", "path": "predictor.py"} | keys.pop("predictor", {})
    return {"name": "demo", "kind": "RealtimeAPI", "predictor": predictor} | keys


def load_api(project: Path, **keys: Any) -> EndpointConfig:
    [config] = load(project, yaml.safe_dump([api(**keys)])).endpoints
    return config


def warnings_of(project: Path, **keys: Any) -> tuple[str, ...]:
    return load(project, yaml.safe_dump([api(**keys)])).warnings


def project_of(project: Path, **predictor: Any) -> ApiProject:
    found = load_api(project, predictor=predictor).project
    assert found is not None
    return found


def models_of(project: Path, **predictor: Any) -> ApiModels:
    found = project_of(project, **predictor).models
    assert found is not None
    return found


def local(project: Path, key: str, signature_key: str | None = None) -> ModelLocation:
    return ModelLocation((project / "models").as_uri() + "/", key, signature_key)


def test_an_api_is_an_endpoint_with_a_project(project: Path) -> None:
    [config] = load(
        project,
        """
        - name: demo
          kind: RealtimeAPI
          predictor:
            type: onnx
            path: ./predictor.py
            models:
              paths:
                - {name: small, model_path: models/mobilenet/}
                - {name: large, model_path: s3://my-bucket/onnx/large/}
              cache_size: 1
              disk_cache_size: 2
            config: {classes: [a, b]}
            env: {LOG: "1"}
            python_path: src/
            threads_per_process: 4
        """,
    ).endpoints

    assert config == EndpointConfig(
        endpoint=Endpoint(
            name="demo",
            repository=(project / "cortex.yaml").as_uri() + "#demo",
            allow_code=True,
            route="/demo",
        ),
        compute=RequestedCompute(2048 * 1024**2, 8, 360.0, "auto"),
        project=ApiProject(
            name="demo",
            type=PredictorType.ONNX,
            folder=str(project),
            predictor_file="predictor.py",
            config={"classes": ["a", "b"]},
            env={"LOG": "1"},
            python_path="src",
            threads=4,
            models=ApiModels(
                paths={
                    "small": local(project, "mobilenet"),
                    "large": ModelLocation("s3://my-bucket/onnx/", "large"),
                },
                cache_size=1,
                disk_cache_size=2,
            ),
        ),
    )


def test_what_an_api_leaves_out_has_cortex_defaults(project: Path) -> None:
    assert load_api(project) == EndpointConfig(
        endpoint=Endpoint(
            "demo", (project / "cortex.yaml").as_uri() + "#demo", allow_code=True, route="/demo"
        ),
        compute=RequestedCompute(2048 * 1024**2, 8, 360.0, "auto"),
        project=ApiProject("demo", PredictorType.PYTHON, str(project), "predictor.py"),
    )


MPG_ESTIMATOR = """
- name: mpg-estimator
  kind: RealtimeAPI
  predictor:
    type: python
    path: predictor.py
    model_path: s3://cortex-examples/sklearn/mpg-estimator/linreg/
"""
TEXT_ANALYZER = """
- name: multi-model-text-analyzer
  kind: RealtimeAPI
  predictor:
    type: python
    path: predictor.py
    config: {...}
"""
TENSORFLOW_CLASSIFIER = """
- name: multi-model-classifier
  kind: RealtimeAPI
  predictor:
    type: tensorflow
    path: predictor.py
    models:
      paths:
        - name: inception
          model_path: s3://cortex-examples/tensorflow/image-classifier/inception/
        - name: iris
          model_path: s3://cortex-examples/tensorflow/iris-classifier/nn/
        - name: resnet50
          model_path: s3://cortex-examples/tensorflow/resnet50/
"""
ONNX_CLASSIFIER = """
- name: multi-model-classifier
  kind: RealtimeAPI
  predictor:
    type: onnx
    path: predictor.py
    models:
      paths:
        - name: resnet50
          model_path: s3://cortex-examples/onnx/resnet50/
        - name: mobilenet
          model_path: s3://cortex-examples/onnx/mobilenet/
        - name: shufflenet
          model_path: s3://cortex-examples/onnx/shufflenet/
"""
TENSORFLOW = "s3://cortex-examples/tensorflow/"
EXAMPLES = {
    MPG_ESTIMATOR: ApiModels(
        single=ModelLocation("s3://cortex-examples/sklearn/mpg-estimator/", "linreg")
    ),
    TEXT_ANALYZER: None,
    TENSORFLOW_CLASSIFIER: ApiModels(
        paths={
            "inception": ModelLocation(f"{TENSORFLOW}image-classifier/", "inception"),
            "iris": ModelLocation(f"{TENSORFLOW}iris-classifier/", "nn"),
            "resnet50": ModelLocation(TENSORFLOW, "resnet50"),
        }
    ),
    ONNX_CLASSIFIER: ApiModels(
        paths={
            name: ModelLocation("s3://cortex-examples/onnx/", name)
            for name in ("resnet50", "mobilenet", "shufflenet")
        }
    ),
}


@pytest.mark.parametrize(("text", "models"), EXAMPLES.items(), ids=["mpg", "text", "tf", "onnx"])
def test_an_example_of_cortex_is_read_as_it_stands(
    project: Path, text: str, models: ApiModels | None
) -> None:
    config = load(project, text)

    [endpoint] = config.endpoints
    assert endpoint.project is not None
    assert endpoint.project.models == models
    assert not endpoint.project.text_as_str
    assert config.warnings == ()


@pytest.mark.parametrize("text", EXAMPLES, ids=["mpg", "text", "tf", "onnx"])
def test_an_example_of_cortex_may_have_its_models_in_folders(project: Path, text: str) -> None:
    document = yaml.safe_load(text)
    predictor = document[0]["predictor"]
    if "model_path" in predictor:
        predictor["model_path"] = "models/linreg"
    for entry in predictor.get("models", {}).get("paths", ()):
        entry["model_path"] = f"models/{entry['name']}"

    [config] = load(project, yaml.safe_dump(document)).endpoints

    assert config.project is not None
    models = config.project.models
    if "model_path" in predictor:
        assert models == ApiModels(single=local(project, "linreg"))
    elif models is not None:
        names = [entry["name"] for entry in predictor["models"]["paths"]]
        assert models == ApiModels(paths={name: local(project, name) for name in names})


PATHS = [
    {"name": "a", "model_path": "models/iris"},
    {"name": "b", "model_path": "s3://my-bucket/b"},
]
LATER_PATHS = [{"name": "a", "path": "models/iris"}, {"name": "b", "path": "s3://my-bucket/b"}]
SIZES = {"cache_size": 1, "disk_cache_size": 2}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param(
            {"type": "tensorflow", "model_path": "models/iris", "signature_key": "k"},
            {"type": "tensorflow", "models": {"path": "models/iris", "signature_key": "k"}},
            id="single",
        ),
        pytest.param(
            {"type": "python", "model_path": "models/iris"},
            {"type": "python", "multi_model_reloading": {"path": "models/iris"}},
            id="single of python",
        ),
        pytest.param(
            {"type": "onnx", "models": {"paths": PATHS}},
            {"type": "onnx", "models": {"paths": LATER_PATHS}},
            id="paths",
        ),
        pytest.param(
            {"type": "python", "models": {"paths": PATHS, **SIZES}},
            {"type": "python", "multi_model_reloading": {"paths": LATER_PATHS, **SIZES}},
            id="paths of python",
        ),
        pytest.param(
            {"type": "python", "models": {"dir": "s3://my-bucket/all"}},
            {"type": "python", "multi_model_reloading": {"dir": "s3://my-bucket/all"}},
            id="directory of python",
        ),
    ],
)
def test_c43_both_spellings_make_equal_projects(
    project: Path, earlier: dict[str, Any], later: dict[str, Any]
) -> None:
    found_earlier, found_later = project_of(project, **earlier), project_of(project, **later)

    assert (found_earlier.text_as_str, found_later.text_as_str) == (False, True)
    assert found_later == dataclasses.replace(found_earlier, text_as_str=True)
    assert found_earlier.models is not None


@pytest.mark.parametrize(
    "predictor",
    [
        {"log_level": "info"},
        {"shm_size": "1Gi"},
        {"protobuf_path": "a.proto"},
        {"dependencies": {"pip": "requirements.txt"}},
        {"models": {"path": "models/iris"}},
    ],
    ids=lambda predictor: next(iter(predictor)),
)
def test_c12_a_later_spelling_gives_text_as_str(project: Path, predictor: dict[str, Any]) -> None:
    assert project_of(project, **predictor).text_as_str


@pytest.mark.parametrize("given", [{}, {"config": None}, {"config": {}}], ids=str)
def test_c06_config_left_out_or_null_is_empty(project: Path, given: dict[str, Any]) -> None:
    assert project_of(project, **given).config == {}


def test_config_travels_as_json(project: Path) -> None:
    config = {"a": [1, 2.5, True, None, {"b": "ü"}], "big": 2**64 - 1, "small": -(2**63)}

    assert json.loads(json.dumps(project_of(project, config=config).config)) == config


def test_dates_stay_text(project: Path) -> None:
    config = {"since": datetime.date(2020, 1, 2)}

    assert project_of(project, config=config).config == {"since": "2020-01-02"}


def test_the_nearest_signature_key_wins(project: Path) -> None:
    entries = [
        {"name": "a", "model_path": "models/iris", "signature_key": "own"},
        {"name": "b", "model_path": "models/iris"},
    ]
    models = {"paths": entries, "signature_key": "common"}

    assert models_of(project, type="tensorflow", models=models).paths == {
        "a": local(project, "iris", "own"),
        "b": local(project, "iris", "common"),
    }


def test_a_directory_keeps_the_signature_key_for_its_models(project: Path) -> None:
    models = models_of(
        project, type="tensorflow", models={"dir": "models", "signature_key": "common"}
    )

    assert models == ApiModels(
        directory=(project / "models").as_uri() + "/", signature_key="common"
    )


def test_an_onnx_file_is_a_model_by_itself(project: Path) -> None:
    models = {"path": "models/single.onnx"}

    assert models_of(project, type="onnx", models=models).single == local(project, "single.onnx")


def test_a_linked_model_is_where_its_link_leads(project: Path) -> None:
    (project / "current").symlink_to(project / "models" / "iris")

    assert models_of(project, model_path="current").single == local(project, "iris")


def test_a_model_folder_with_a_blank_keeps_its_name(project: Path) -> None:
    (project / "models" / "my model").mkdir()

    assert models_of(project, model_path="models/my model").single == local(project, "my model")


def test_a_whole_bucket_may_be_a_directory_of_models(project: Path) -> None:
    assert models_of(project, models={"dir": "s3://bucket"}).directory == "s3://bucket/"


def test_paths_are_relative_to_the_config_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")

    assert models_of(project, model_path="models/iris").single == local(project, "iris")


@pytest.mark.parametrize(
    ("endpoint", "route"),
    [
        ("/iris", "/iris"),
        ("iris/v1/", "/iris/v1"),
        ("/metrics/x", "/metrics/x"),
        ("A_.-1", "/A_.-1"),
    ],
)
def test_an_api_is_called_at_its_endpoint(project: Path, endpoint: str, route: str) -> None:
    assert load_api(project, networking={"endpoint": endpoint}).endpoint.route == route


@pytest.mark.parametrize(
    ("quantity", "size_bytes"),
    [
        ("4Gi", 4 * 1024**3),
        ("512Mi", 512 * 1024**2),
        ("1.5G", 1_500_000_000),
        ("1e9", 10**9),
        ("2147483648", 2**31),
        ("30000000000m", 30_000_000),
        (None, 2048 * 1024**2),
    ],
)
def test_memory_is_a_kubernetes_quantity(
    project: Path, quantity: str | None, size_bytes: int
) -> None:
    config = load_api(project, compute={"mem": quantity})

    assert config.compute.memory_bytes == size_bytes
    assert warnings_of(project, compute={"mem": quantity}) == ()


def test_keys_without_effect_are_named_in_one_warning(project: Path) -> None:
    [warning] = warnings_of(
        project,
        predictor={
            "type": "tensorflow",
            "model_path": "models/iris",
            "processes_per_replica": 2,
            "server_side_batching": {"max_batch_size": 2, "batch_interval": "50ms"},
            "image": "me/predictor",
            "tensorflow_serving_image": "me/serving",
            "dependencies": {"pip": "pip.txt", "conda": "c.txt", "shell": "s.sh"},
            "log_level": "debug",
            "shm_size": "100Mi",
            "protobuf_path": "a.proto",
        },
        networking={"api_gateway": "none", "local_port": 8888},
        compute={"cpu": 1, "mem": "1Gi", "gpu": 1},
        autoscaling={"min_replicas": 2, "window": "1m30s", "target_replica_concurrency": 2},
        update_strategy={"max_surge": 1, "max_unavailable": "50%"},
        monitoring={"model_type": "regression"},
    )

    start, _, rest = warning.partition("without effect here: ")
    assert start == "cortex.yaml: demo (RealtimeAPI): "
    assert [part.split(" (")[0] for part in rest.split("), ")] == [
        "predictor.server_side_batching",
        "predictor.processes_per_replica",
        "predictor.image",
        "predictor.tensorflow_serving_image",
        "predictor.dependencies.pip",
        "predictor.dependencies.conda",
        "predictor.dependencies.shell",
        "predictor.log_level",
        "predictor.shm_size",
        "predictor.protobuf_path",
        "networking.api_gateway",
        "networking.local_port",
        "compute.cpu",
        "compute.gpu",
        "autoscaling",
        "update_strategy",
        "monitoring",
    ]
    assert "one worker process; threads_per_process says how many calls run at once" in warning


def test_keys_at_their_defaults_are_no_warning(project: Path) -> None:
    warnings = warnings_of(
        project,
        predictor={"processes_per_replica": 1, "server_side_batching": None, "log_level": "info"},
        networking={"api_gateway": "public"},
        compute={"gpu": 0, "inf": 0},
    )

    assert warnings == ()


def test_keys_of_a_splitter_without_effect_are_named(project: Path) -> None:
    splitter = {"name": "split", "kind": "TrafficSplitter", "networking": {"api_gateway": "none"}}
    splitter["apis"] = [{"name": "demo", "weight": 100}]

    [warning] = load(project, yaml.safe_dump([api(), splitter])).warnings

    assert warning.startswith(
        "cortex.yaml: split (TrafficSplitter): without effect here: networking.api_gateway ("
    )


def test_apis_and_multi_model_endpoints_share_a_file(project: Path) -> None:
    housing = {"name": "housing", "kind": "MultiModelEndpoint", "models": {"path": "models"}}

    first, second = load(project, yaml.safe_dump([housing, api()])).endpoints

    assert (first.endpoint.route, first.project) == (None, None)
    assert (second.endpoint.route, second.project is None) == ("/demo", False)


KEYS = st.sampled_from(
    [
        "name",
        "kind",
        "predictor",
        "type",
        "path",
        "model_path",
        "models",
        "multi_model_reloading",
        "paths",
        "dir",
        "config",
        "env",
        "signature_key",
        "cache_size",
        "disk_cache_size",
        "python_path",
        "networking",
        "endpoint",
        "compute",
        "mem",
        "cpu",
        "autoscaling",
        "window",
        "update_strategy",
        "max_surge",
        "server_side_batching",
        "max_batch_size",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.binary()
    | st.sampled_from(
        ["RealtimeAPI", "python", "onnx", "predictor.py", "models/iris", "s3://bucket/c"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(st.text() | st.integers() | st.dates() | st.none(), inner, max_size=2)
    ),
)
PREDICTORS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["python", "tensorflow", "onnx"]),
        "path": st.just("predictor.py"),
    },
    optional=dict.fromkeys(
        ("model_path", "models", "multi_model_reloading", "config", "env", "python_path"), VALUES
    ),
)
APIS = st.fixed_dictionaries(
    {"name": st.just("demo"), "kind": st.just("RealtimeAPI"), "predictor": PREDICTORS | VALUES},
    optional=dict.fromkeys(("networking", "compute", "autoscaling", "update_strategy"), VALUES),
)


@given(st.lists(APIS | VALUES, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_document_is_a_config_or_refused_in_words(project: Path, document: Any) -> None:
    path = project / "cortex.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True))

    try:
        configs = load_config(path).endpoints
    except ConfigurationError as error:
        lines = error.message.split("\n")
        assert all(line.startswith("cortex.yaml: ") for line in lines)
        assert str(project) not in error.message
    else:
        assert len(configs) == len(document)
        assert all(json.dumps(config.project and config.project.config) for config in configs)
