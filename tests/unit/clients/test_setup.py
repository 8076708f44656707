from pathlib import Path

import pytest

from modelyard.clients.setup import render_exports, write_client_setup
from modelyard.domain.errors import ConfigurationError


def test_variables_point_into_the_folder_and_survive_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my setup"

    variables = write_client_setup(folder, "https://host/prod", "yard")

    assert variables == {
        "AWS_DATA_PATH": str(folder / "models"),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_PROFILE": "yard",
    }
    assert next(iter(render_exports(variables))) == f"export AWS_DATA_PATH='{folder / 'models'}'"
    assert (folder / "config").read_text().startswith("[profile yard]\nservices = modelyard\n")


@pytest.mark.parametrize(
    ("url", "profile", "option"),
    [
        ("host", "default", "--url"),
        ("https://host\n[default]", "default", "--url"),
        ("https://host", "a]\n[b", "--profile"),
        ("https://host", "", "--profile"),
    ],
)
def test_text_that_would_spoil_the_config_is_refused(
    tmp_path: Path, url: str, profile: str, option: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option}: found"):
        write_client_setup(tmp_path / "setup", url, profile)

    assert not (tmp_path / "setup").exists()


def test_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_client_setup(tmp_path / "file" / "setup", "https://host")
