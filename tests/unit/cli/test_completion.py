from pathlib import Path

import pytest

from modelyard.cli.completion import install_completion
from modelyard.cli.main import app
from modelyard.domain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.mark.parametrize(
    ("shell", "start"), [("zsh", ".zshrc"), ("fish", ".config/fish/config.fish")]
)
def test_the_shell_reads_the_script_once(tmp_path: Path, shell: str, start: str) -> None:
    for _ in range(2):
        assert install_completion(app, f"/usr/bin/{shell}", tmp_path) == tmp_path / start

    script = tmp_path / ".local" / "share" / "modelyard" / f"completion.{shell}"
    assert (tmp_path / start).read_text() == f"\nsource '{script}'\n"
    assert f"_MODELYARD_COMPLETE={shell}_complete" in script.read_text()


def test_an_unknown_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="found the shell 'tcsh'; allowed: bash, zsh"):
        install_completion(app, "/bin/tcsh", tmp_path)

    assert [*tmp_path.iterdir()] == []
