"""Make environments with old versions of XGBoost and let each train models: `make old-xgboost`.

`python -m tests.old_xgboost.environments` makes `build/old-xgboost/VERSION`, with the newest
Python from 3.8 to 3.11 that it finds on PATH or among pyenv's. What is there is not made again.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path("build/old-xgboost")
MODELS = "models"
VERSIONS = ("0.90", "1.0.2", "1.2.1", "1.3.3", "1.5.2", "1.7.6", "2.0.3", "2.1.4")
# The newest versions that all of these work with; they have wheels for Python 3.8 to 3.11.
TOGETHER = (
    *("numpy==1.23.5", "scipy==1.10.1", "scikit-learn==1.1.3", "joblib==1.2.0"),
    *("threadpoolctl==3.1.0", "setuptools==65.6.3"),
)
PYTHONS = ("3.11", "3.10", "3.9", "3.8")


def main() -> int:
    python = find_python()
    if python is None:
        _say(f"no Python of {', '.join(PYTHONS)} on PATH or below ~/.pyenv/versions")
        return 1
    failed = [version for version in VERSIONS if not _make(version, python)]
    if failed:
        _say(f"could not be made: {', '.join(failed)}")
    return int(len(failed) == len(VERSIONS))


def find_python() -> str | None:
    for version in PYTHONS:
        if found := shutil.which(f"python{version}"):
            return found
        below = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        if below:
            return str(below[-1])
    return None


def _make(version: str, python: str) -> bool:
    """Make the environment of a version and its models; return whether they are there."""
    home = FOLDER / version
    done = home / MODELS / "rows.json"
    if done.is_file():
        return True
    _say(f"XGBoost {version}: installing and training")
    interpreter = home / "bin" / "python"
    train = Path(__file__).with_name("train.py")
    partial = home / "partial"
    packages = (f"xgboost=={version}", *TOGETHER)
    install = ("-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-deps", *packages)
    made = (
        _runs(python, "-m", "venv", str(home))
        and _runs(str(interpreter), *install)
        and _runs(str(interpreter), str(train), str(partial))
    )
    if made:
        partial.rename(home / MODELS)
    return made


def _runs(*command: str) -> bool:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        _say((ran.stderr or ran.stdout)[-2000:])
    return ran.returncode == 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
