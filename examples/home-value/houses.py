"""Generate synthetic houses: the training data, and the house that the demo sends.

As in SageMaker's multi-model sample, a house has six features and a linear price. In addition,
every city has its own price level, which multiplies the formula, and its own seed, so that the
answer of a wrong model is easy to notice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    "YEAR_BUILT",
    "SQUARE_FEET",
    "NUM_BEDROOMS",
    "NUM_BATHROOMS",
    "LOT_ACRES",
    "GARAGE_SPACES",
)
"""The columns of a request, in order."""

PRICE_LEVELS = {
    "NewYork_NY": 1.60,
    "LosAngeles_CA": 1.50,
    "Chicago_IL": 0.95,
    "Houston_TX": 0.80,
    "Dallas_TX": 0.85,
    "Phoenix_AZ": 0.90,
    "Philadelphia_PA": 0.75,
    "SanAntonio_TX": 0.70,
    "SanDiego_CA": 1.40,
    "SanFrancisco_CA": 1.80,
}
CITIES = tuple(PRICE_LEVELS)

SAMPLE_HOUSE = (1990.0, 3000.0, 4.0, 2.5, 1.1, 2.0)
_THIS_YEAR = 2019


@dataclass(frozen=True, slots=True)
class Houses:
    """Houses of one city: a row of features and a price per house."""

    features: NDArray[np.float64]
    prices: NDArray[np.float64]


def make_houses(city: str, count: int = 1000) -> Houses:
    """Return random houses of a city; equal arguments give equal houses."""
    random = np.random.default_rng(CITIES.index(city))
    columns = (
        np.minimum(_THIS_YEAR, random.normal(1995, 10, count).astype(int)),
        random.normal(3000, 750, count).astype(int),
        random.integers(2, 7, count),
        random.integers(2, 7, count) / 2,
        random.normal(1.0, 0.25, count).round(2),
        random.integers(0, 4, count),
    )
    features = np.column_stack(columns).astype(float)
    return Houses(features, price(city, features))


def price(city: str, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the true price of each house, in whole dollars."""
    year_built, square_feet, bedrooms, bathrooms, acres, garage = features.T
    base = 150 * square_feet + 10_000 * bedrooms + 15_000 * (bathrooms + acres + garage)
    return ((base - 5_000 * (_THIS_YEAR - year_built)) * PRICE_LEVELS[city]).round()


def render_csv(*houses: tuple[float, ...]) -> str:
    """Return houses as the CSV body of a request."""
    return "".join(",".join(f"{value:.2f}" for value in house) + "\n" for house in houses)
