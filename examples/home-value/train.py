"""Train one small XGBoost model per city and pack each as SageMaker does: `<City>.tar.gz`.

Every random choice is seeded and the archives contain no times, so two runs on one machine write
equal files. Existing files are kept, unless --force is given.
"""

import argparse
import gzip
import io
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xgboost
from houses import CITIES, make_houses
from rich.progress import track

MODELS = Path(os.environ.get("MODELYARD_DEMO_MODELS") or Path(__file__).parent / "models")
"""`modelyard demo` names a folder that its user may write to."""
_PARAMETERS = {
    "objective": "reg:squarederror",
    "max_depth": 5,
    "eta": 0.2,
    "gamma": 4,
    "min_child_weight": 6,
    "subsample": 0.8,
    "seed": 0,
    "nthread": 1,
}
_ROUNDS, _PATIENCE = 25, 5
_TRAIN, _VALIDATION = 0.6, 0.3  # the rest is left for tests
_SPLIT_SEED = 7


def train_model(city: str, inflation: float = 1.0) -> bytes:
    """Return a trained model in XGBoost's UBJ format; `inflation` multiplies all prices."""
    houses = make_houses(city)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(houses.prices))
    first, second = (round(len(order) * share) for share in (_TRAIN, _TRAIN + _VALIDATION))
    train, validation = (
        xgboost.DMatrix(houses.features[rows], label=houses.prices[rows] * inflation)
        for rows in (order[:first], order[first:second])
    )
    booster = xgboost.train(
        _PARAMETERS,
        train,
        num_boost_round=_ROUNDS,
        evals=[(validation, "validation")],
        early_stopping_rounds=_PATIENCE,
        verbose_eval=False,
    )
    return bytes(booster.save_raw("ubj"))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a .tar.gz of `files`; equal content gives equal bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def publish(path: Path, artifact: bytes) -> None:
    """Write the artifact in one atomic step, so that no reader sees an incomplete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(artifact)
    unfinished.replace(path)


def train_city(city: str, folder: Path, inflation: float = 1.0) -> None:
    """Train and publish the model of one city."""
    publish(folder / f"{city}.tar.gz", pack({"xgboost-model": train_model(city, inflation)}))


def train_missing(cities: Sequence[str], folder: Path, *, force: bool = False) -> int:
    """Train the models missing from `folder`, or all with `force`; return how many were trained."""
    wanted = [city for city in cities if force or not (folder / f"{city}.tar.gz").exists()]
    for city in track(wanted, description="training", transient=True, disable=not wanted):
        train_city(city, folder)
    return len(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cities", nargs="+", choices=CITIES, default=CITIES, metavar="CITY")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder for the models")
    parser.add_argument("--force", action="store_true", help="train existing models again")
    options = parser.parse_args()
    trained = train_missing(options.cities, options.out, force=options.force)
    kept = len(options.cities) - trained
    print(f"{trained} models trained, {kept} kept, in {options.out.name}/")


if __name__ == "__main__":
    sys.exit(main())
