"""What the page about asynchronous invocations shows works as it is."""

from tests.docs import pages
from tests.docs.running import Reader, is_alike, run_example
from tests.serving import Server

PAGE = pages.text("docs/async.md")


def test_config_and_call_print_what_the_comment_says(tmp_path):
    trained = run_example(
        "home-value/train.py", "--out", str(tmp_path / "models"), "--cities", "Houston_TX"
    )
    assert trained.returncode == 0, trained.stderr
    for name in ("results", "inputs"):
        (tmp_path / name).mkdir()
    config = tmp_path / "modelyard.yaml"
    [shown] = pages.blocks(PAGE, "yaml")
    config.write_text(shown)
    [snippet] = pages.blocks(PAGE, "python")

    with Server(config, "--workers", "1") as server:
        printed = Reader(tmp_path / "reader", server.url).run_python(snippet)

    assert is_alike(printed, snippet.rpartition("#")[2])
