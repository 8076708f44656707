"""What the README and the page about scripts show is run, and prints what they say."""

import json
import re
import subprocess

import pytest
from click.testing import CliRunner

import modelyard
from modelyard.cli.main import app
from tests.docs import pages
from tests.docs.running import Reader, is_alike, run_example
from tests.serving import Server

README = pages.text("README.md")
DEPLOYING = README.partition("## Deploy it to AWS")[2].partition("\n## ")[0]
CALLS = [
    (words, shown)
    for words, shown in pages.commands(README.replace(DEPLOYING, ""))
    if words[0] not in ("make", "pip") and words != ["modelyard", "demo"]
]
SHOWN_LAMBDA_URL = "http://127.0.0.1:9001"
MODEL_OF_TOKENS = """
class Model:
    def tokens(self, body):
        return body.split()

def model_fn(model_dir):
    return Model()

"""
CITIES = sorted({city for city in re.findall(r"(\w+)\.tar\.gz", README) if "_" in city})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme") / "models"
    trained = run_example("home-value/train.py", "--out", str(folder), "--cities", *CITIES)
    assert trained.returncode == 0, trained.stderr
    return folder


@pytest.fixture(scope="module")
def reader(models, tmp_path_factory):
    with Server(models, "--endpoint", "home-value") as server:
        yield Reader(tmp_path_factory.mktemp("reader") / "at-home", server.url)


def test_python_snippet_prints_what_its_comment_says(reader):
    (snippet,) = pages.blocks(README, "python")

    assert is_alike(reader.run_python(snippet), snippet.rpartition("#")[2])


def test_commands_print_what_is_shown(reader):
    printed = [(words, reader.run(words), shown) for words, shown in CALLS]

    assert [one for one in printed if one[2] and not is_alike(one[1], one[2])] == []


def test_readme_shows_the_aws_command_line_and_every_verb_of_calling():
    programs = {words[0] for words, _ in CALLS}
    verbs = {words[1] for words, _ in CALLS if words[0] == "modelyard"}

    assert programs == {"aws", "cat", "modelyard"}
    assert verbs == {"invoke", "warm", "unload", "models"}


@pytest.mark.long
def test_router_function_is_invoked_as_the_section_about_aws_shows(models, tmp_path):
    shown = [(words, printed) for words, printed in pages.commands(DEPLOYING)]
    (ready,) = [printed for words, printed in shown if "--lambda" in words]
    (invoke,) = [words for words, _ in shown if words[:3] == ["aws", "lambda", "invoke"]]

    with Server(models, "--endpoint", "home-value", "--lambda") as server:
        assert server.process.stdout is not None
        printed = [server.url, *(server.process.stdout.readline().decode() for _ in range(2))]
        lambda_url = printed[-1].split()[-1]
        words = [word.replace(SHOWN_LAMBDA_URL, lambda_url) for word in invoke]
        Reader(tmp_path / "reader").run(words)

    answer = json.loads((tmp_path / "reader" / "answer.json").read_text())
    assert ready.splitlines()[-1].replace(SHOWN_LAMBDA_URL, lambda_url) == printed[-1].rstrip()
    assert is_alike(answer["Body"], "[369528.90625]")


def test_what_it_costs_is_a_command_that_runs():
    (words,) = [
        words for words, _ in pages.commands(DEPLOYING) if words[:2] == ["modelyard", "cost"]
    ]

    done = CliRunner().invoke(app, words[1:])

    assert "SageMaker MME" in done.stdout


@pytest.mark.parametrize(
    ("target", "recipe"),
    [
        ("demo", "modelyard demo"),
        ("serve", "modelyard serve examples/home-value/models --endpoint home-value"),
    ],
)
def test_make_target_of_the_readme_does_what_it_says(target, recipe):
    planned = subprocess.check_output(["make", "--dry-run", target], cwd=pages.ROOT, text=True)

    assert f"make {target}" in README
    assert recipe in planned


def test_script_of_the_page_about_scripts_answers_what_is_shown(tmp_path):
    page = pages.text("docs/custom-code.md")
    script, in_parts = pages.blocks(page, "python")
    (_, serve), (call, shown) = ((words, shown) for words, shown in pages.commands(page))
    code = tmp_path / "models" / "triple" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(script)
    streaming = tmp_path / "models" / "words" / "code"
    streaming.mkdir(parents=True)
    (streaming / "inference.py").write_text(MODEL_OF_TOKENS + in_parts)

    with Server(tmp_path / "models", "--allow-code", "--endpoint", "mine") as server:
        printed = Reader(tmp_path / "reader", server.url).run(call)
        answer = modelyard.client(server.url).invoke_endpoint_with_response_stream(
            EndpointName="mine", CustomAttributes="modelyard.target_model=words", Body="one two"
        )
        parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]

    assert serve == ""
    assert printed == shown
    assert parts == [b"one\n", b"two\n"]
