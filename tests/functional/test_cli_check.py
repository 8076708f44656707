"""`check` on real folders, and options that every verb refuses before it does anything."""

import json
import pickle
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelyard import __version__
from modelyard.cli.main import app
from modelyard.domain.endpoints import Endpoint
from modelyard.local import server as local
from modelyard.local.options import Limits, ServeOptions
from tests.functional import artifacts
from tests.functional.served import S3Models
from tests.models import sklearn_models
from tests.serving import COMMANDS, clean_environment

CONTENTS = {
    ".gz": artifacts.house(),
    ".onnx": artifacts.onnx(),
    ".pkl": pickle.dumps(sklearn_models.linear(1, 0)),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def configure(folder: Path, *models: str, rules: str = "") -> str:
    for name in models:
        path = folder / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS.get(path.suffix, b"model"))
    config = folder / "modelyard.yaml"
    config.write_text(f"- {{name: h, kind: MultiModelEndpoint, models: {{path: models{rules}}}}}")
    return config.name


def test_sound_models_pass(folder: Path) -> None:
    config = configure(folder, "Houston_TX.tar.gz", "region/store.onnx")

    result = run("check", config)

    assert result.exit_code == 0
    assert "region/store.onnx" in result.stdout
    assert "expected" not in result.stdout


def test_a_location_without_a_model_is_a_problem(folder: Path) -> None:
    (folder / "models/notes.md").write_text("none yet")

    result = run("check", "models")

    assert result.exit_code == 1
    assert result.stderr == "models: there is nothing to serve: no file is a model\n"


def test_a_problem_shows_the_expected_tree_beside_the_actual_one(folder: Path) -> None:
    config = configure(folder, "a.onnx", "two/model.onnx", "two/model.skops")

    result = run("check", config)

    assert result.exit_code == 1
    assert "expected models/" in result.stdout
    assert (
        "two/   ✗ the artifact holds 2 models (model.onnx, model.skops): keep one" in result.stdout
    )
    assert "... and 1 more" in result.stdout


def test_scripts_get_json(folder: Path) -> None:
    config = configure(folder, "a.pkl")

    result = run("check", config, "--json")

    [report] = json.loads(result.stdout)["h"]
    assert result.exit_code == 1
    assert report["target_model"] == "a.pkl"
    assert report["kind"] == "sklearn"
    assert report["problems"] == [
        "a.pkl runs code of the artifact when it is loaded: serve the endpoint with "
        "--allow-code or set allow_code: true, if you trust its artifacts"
    ]


def test_a_folder_is_checked_as_serve_serves_it(folder: Path) -> None:
    configure(folder, "a.onnx", "region/b.pkl")

    refused = json.loads(run("check", "models", "--json").stdout)["models"]
    allowed = run("check", "models", "--allow-code", "--json")

    assert [bool(report["problems"]) for report in refused] == [False, True]
    assert [report["target_model"] for report in refused] == ["a.onnx", "region/b.pkl"]
    assert allowed.exit_code == 0


@pytest.mark.parametrize("name", ["Houston_TX.tar.gz", "a.onnx"])
def test_one_model_is_checked_alone(folder: Path, name: str) -> None:
    configure(folder, name, "two/model.onnx", "two/model.skops")

    result = run("check", f"models/{name}", "--json")

    [report] = json.loads(result.stdout)["models"]
    assert (result.exit_code, report["target_model"], report["problems"]) == (0, name, [])


@pytest.mark.parametrize("name", ["config.json", ".hidden.onnx"])
def test_a_file_that_is_no_model_is_refused(folder: Path, name: str) -> None:
    configure(folder, "a.onnx")
    (folder / "models" / name).write_text("{}")

    result = run("check", f"models/{name}")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"models/{name}: not a model that is served, by its name")


def test_what_does_not_exist_is_refused_as_serve_refuses_it(folder: Path) -> None:
    results = [run(verb, "nowhere") for verb in ("check", "serve")]

    assert [result.exit_code for result in results] == [1, 1]
    assert results[0].stderr == results[1].stderr
    assert results[0].stderr.startswith("found 'nowhere', not a folder; allowed: an existing fol")


def test_code_may_be_allowed_by_the_config(folder: Path) -> None:
    config = configure(folder, "a.pkl", rules=", allow_code: true")

    assert run("check", config).exit_code == 0


def test_a_name_that_no_caller_can_send_is_a_warning(folder: Path) -> None:
    config = configure(folder, "größe.onnx", "a.onnx")

    result = run("check", config)

    assert result.exit_code == 0
    assert "größe" not in result.stdout
    assert "'größe.onnx' is not served: no caller can send its name" in result.stderr


def test_a_load_that_ends_its_process_is_a_problem_of_its_model_only(folder: Path) -> None:
    config = configure(folder, "a.onnx", "z.onnx", rules=", allow_code: true")
    code = folder / "models" / "crash" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text("import os\nos._exit(3)\n")

    result = run("check", config, "--json")

    reports = json.loads(result.stdout)["h"]
    assert [(report["target_model"], report["problems"]) for report in reports] == [
        ("a.onnx", []),
        ("crash", ["its load ends the process"]),
        ("z.onnx", []),
    ]


def test_what_a_model_prints_does_not_disturb_scripts(folder: Path) -> None:
    config = configure(folder, rules=", allow_code: true")
    code = folder / "models" / "loud" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text("print('loud')\ndef model_fn(where):\n    return 1\n")

    [report] = json.loads(run("check", config, "--json").stdout)["h"]

    assert report["problems"] == []


def test_models_in_s3_are_checked_by_name_and_size(folder: Path, s3_endpoint: str) -> None:
    models = S3Models(s3_endpoint)
    models.put("a.onnx", b"not read")
    models.put("b.onnx", b"")
    models.put("net.pt", b"not read")
    config = folder / "modelyard.yaml"
    config.write_text(f"- {{name: h, kind: MultiModelEndpoint, models: {{path: {models.target}}}}}")

    def check(what: str | Path) -> tuple[list[tuple[str, list[str]]], str]:
        result = subprocess.run(  # this process may have an S3 client of another test
            [COMMANDS / "modelyard", "check", what, "--json"],
            check=False,
            capture_output=True,
            text=True,
            env=clean_environment() | models.environment | {"COLUMNS": "200"},
        )
        [reports] = json.loads(result.stdout).values()
        return [(one["target_model"], one["problems"]) for one in reports], result.stderr

    found, warnings = check(config)

    assert found[:2] == [("a.onnx", []), ("b.onnx", ["the file is empty"])]
    assert "a PyTorch model: export it to ONNX" in found[2][1][0]
    assert check(f"{models.target.rstrip('/')}/b.onnx")[0] == [found[1]]
    assert f"{models.target}: models are judged by their names and sizes only" in warnings


def test_each_problem_of_a_config_is_one_line(folder: Path) -> None:
    config = configure(folder, rules=", revalidate: soon, cach: 1")

    result = run("check", config)

    assert result.exit_code == 1
    assert [line[:30] for line in result.stderr.splitlines()] == [
        "modelyard.yaml: h: models: rev",
        "modelyard.yaml: h: models: cac",
    ]


def test_markup_in_a_name_is_shown_as_it_is(folder: Path) -> None:
    config = configure(folder, "[red]a.onnx", "b.ubj")

    assert "[red]a.onnx" in run("check", config).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--memory", "lots"], "found 'lots'; allowed: a size such as", id="memory"),
        pytest.param(["--disk", "0"], "found '0'; allowed: a size such as", id="no disk"),
        pytest.param(["--memory", "4096"], "found '4096', which is bytes; allowed", id="no unit"),
        pytest.param(["--sync-window", "soon"], "allowed: a duration such as", id="sync window"),
        pytest.param(["--workers", "0"], "--workers", id="no workers"),
        pytest.param(["--port", "99999"], "--port", id="port"),
        pytest.param(["--not-ready-status", "418"], "--not-ready-status", id="status"),
        pytest.param(["--nope"], "--nope", id="unknown option"),
    ],
)
def test_serve_refuses_a_bad_option_as_wrong_usage(
    folder: Path, arguments: list[str], message: str
) -> None:
    result = run("serve", "models", *arguments)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["gone"], "found 'gone', not a folder; allowed:", id="no target"),
        pytest.param(["models/a.onnx"], "a file; serve its folder, 'models'", id="a model"),
        pytest.param(["gone.yaml"], "gone.yaml: cannot be read", id="no config"),
        pytest.param(["models", "--endpoint", "a_b"], "--endpoint: found 'a_b'", id="bad name"),
        pytest.param(["modelyard.yaml"], "h: models: nope: unknown key", id="bad config"),
    ],
)
def test_serve_refuses_a_bad_target_in_one_line(
    folder: Path, arguments: list[str], message: str
) -> None:
    configure(folder, "a.onnx", rules=", nope: 1")

    result = run("serve", *arguments)

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_config_file_names_its_own_endpoints(folder: Path) -> None:
    result = run("serve", configure(folder), "--endpoint", "other")

    assert result.exit_code == 2
    assert "--endpoint cannot be used with a config file." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["models", "h"], ["warm", "h", "a.onnx"], ["unload", "h", "a.onnx"], ["invoke", "h", "1,2"]],
    ids=lambda arguments: arguments[0],
)
def test_a_server_that_is_not_there_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    result = run(*arguments, "--url", "http://127.0.0.1:1")

    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "127.0.0.1:1" in result.stderr


def test_a_payload_file_that_is_not_there_is_one_line() -> None:
    result = run("invoke", "h", "@gone.csv")

    assert result.exit_code == 1
    assert result.stderr == "gone.csv cannot be read: No such file or directory\n"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeOptions]:
    """What would have been served: only starting the processes is left out."""
    options: list[ServeOptions] = []
    monkeypatch.setattr(local, "serve", lambda given, *_, **__: options.append(given))
    return options


def test_options_given_override_the_config(folder: Path, served: list[ServeOptions]) -> None:
    config = configure(folder, rules=", allow_code: true, revalidate: 3s")

    run("serve", config, "--no-allow-code", "--sync-window", "2s", "--not-ready-status", "503")

    [endpoint] = served[0].endpoints
    assert endpoint == Endpoint(
        name="h",
        repository=(folder / "models").as_uri() + "/",
        allow_code=False,
        revalidate_s=3.0,
        sync_window_s=2.0,
        not_ready_status=503,
    )


def test_a_folder_is_served_with_the_documented_defaults(
    folder: Path, served: list[ServeOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))

    run("serve", "models")

    assert served == [
        ServeOptions(
            endpoints=(Endpoint("models", (folder / "models").as_uri() + "/"),),
            host="127.0.0.1",
            port=8080,
            limits=Limits(
                workers=2,
                memory_bytes=2 * 1024**3,
                disk_bytes=10 * 1024**3,
                cache_dir=folder / "modelyard",
            ),
        )
    ]


def test_cache_folder_that_cannot_be_made_is_refused(folder: Path, served: list[object]) -> None:
    (folder / "file").touch()

    result = run("serve", "models", "--cache-dir", "file/below")

    assert (result.exit_code, served) == (1, [])
    assert "file/below: models cannot be staged there: Not a directory" in result.stderr


def test_cache_folder_is_known_by_its_whole_path(folder: Path, served: list[ServeOptions]) -> None:
    run("serve", "models", "--cache-dir", "kept")

    assert served[0].limits.cache_dir == folder / "kept"


def test_version() -> None:
    assert run("--version").stdout == f"modelyard {__version__}\n"


@pytest.mark.parametrize(
    ("value", "exit_code"), [("tcp://10.0.0.1:8080", 1), ("0", 1), ("many", 2)], ids=str
)
def test_options_come_from_the_environment(value: str, exit_code: int) -> None:
    """Kubernetes sets MODELYARD_PORT, too; the folder that is not there ends with 1."""
    environment = {"MODELYARD_PORT": value}

    assert CliRunner(env=environment).invoke(app, ["serve", "nowhere"]).exit_code == exit_code
