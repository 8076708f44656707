"""Synthetic houses: the data behind the models, and the houses the demo asks about.

The recipe is the one of SageMaker's multi-model sample: six features, a linear price. One thing is
added so that a mix-up of models shows at once: every city has a price level of its own, which
multiplies the formula, and a seed of its own.
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
"""Their order on the wire."""

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
    """Houses of one city: a row per house, and what each costs."""

    features: NDArray[np.float64]
    prices: NDArray[np.float64]


def make_houses(city: str, count: int = 1000) -> Houses:
    """Return the same random houses of a city every time."""
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
