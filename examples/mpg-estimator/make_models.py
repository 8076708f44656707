"""Fit four versions of a linear regression from features of a car to its miles per gallon.

The cars are synthetic, with values typical of the 1970s. Random choices are seeded, so every run
fits the same models. Versions 1 and 2 are equal; versions 3 and 4 have cars of later years, which
use less fuel.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

MODELS = Path(__file__).parent / "models" / "linreg"
YEARS = {"1": 1970, "2": 1970, "3": 1976, "4": 1982}
"""The model year of the cars, by version."""
_COUNT = 300
_CYLINDERS, _SHARES = (4, 6, 8), (0.52, 0.21, 0.27)
# Of displacement, horsepower, weight and acceleration, by cylinders.
_MEANS = {4: (110, 79, 2300, 16.6), 6: (218, 101, 3200, 16.3), 8: (345, 158, 4110, 13.0)}
_SPREADS = {4: (24, 15, 340, 2.4), 6: (37, 14, 330, 2.0), 8: (47, 28, 450, 2.2)}
# By how much one more of each feature, and of each year, changes the miles per gallon.
_EFFECTS, _PER_YEAR = (-0.4, -0.001, -0.045, -0.0052, -0.03), 0.75
_BASE, _NOISE = 46.0, 2.5


def make_cars(year: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features, a row per car, and the miles per gallon; the same at each call."""
    random = np.random.default_rng(year)
    cylinders = random.choice(_CYLINDERS, size=_COUNT, p=_SHARES)
    rest = [random.normal(_MEANS[number], _SPREADS[number]) for number in cylinders.tolist()]
    features = np.column_stack([cylinders, rest])
    noise = random.normal(scale=_NOISE, size=_COUNT)
    return features, _BASE + _PER_YEAR * (year - 1970) + features @ _EFFECTS + noise


def main() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow.sklearn  # it reads the variable above when it is imported

    shutil.rmtree(MODELS, ignore_errors=True)
    for version, year in YEARS.items():
        features, miles_per_gallon = make_cars(year)
        model = LinearRegression().fit(features, miles_per_gallon)
        packages = ["mlflow-skinny", "scikit-learn", "skops"]  # without it, MLflow runs pip
        mlflow.sklearn.save_model(model, MODELS / version, pip_requirements=packages)
        fit = model.score(features, miles_per_gallon)
        print(f"version {version}: cars of {year}, explains {fit:.0%} of the variance")


if __name__ == "__main__":
    sys.exit(main())
