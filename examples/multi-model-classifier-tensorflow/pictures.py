"""Draw random pictures of a few things, each as a silhouette in one colour."""

import numpy as np
from numpy.typing import NDArray

SIZE = 32
"""Height and width of a picture in pixels."""


def draw(label: str | None, random: np.random.Generator, size: int = SIZE) -> NDArray[np.uint8]:
    """Return a picture of shape [size, size, 3]; without a label it shows only background."""
    # Coordinates of each pixel relative to the thing, which extends from about -1 to 1.
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j] * random.uniform(1.0, 1.4)
    x, y = x + random.uniform(-0.2, 0.2), y + random.uniform(-0.2, 0.2)
    thing, background = random.uniform(20, 235, (2, 3))
    while np.abs(thing - background).max() < 60:  # ensure enough contrast
        thing = random.uniform(20, 235, 3)
    inside = _SILHOUETTES[label](x, y) if label else np.zeros_like(x, dtype=bool)
    picture = np.where(inside[..., None], thing, background)
    return np.clip(picture + random.normal(scale=12, size=picture.shape), 0, 255).astype(np.uint8)


def _sports_car(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    body = (np.abs(x) < 0.95) & (y > 0.0) & (y < 0.3)
    cabin = _ellipse(x, y, 0.1, 0.0, 0.5, 0.3) & (y < 0.05)
    wheels = _ellipse(np.abs(x), y, 0.55, 0.3, 0.2, 0.2)
    return body | cabin | wheels


def _tabby(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    head = _ellipse(x, y, 0.0, 0.2, 0.7, 0.6)
    ears = (y > -0.9) & (np.abs(np.abs(x) - 0.45) < (y + 0.9) / 3) & (y < 0.0)
    return head | ears


def _umbrella(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    roof = _ellipse(x, y, 0.0, 0.0, 0.9, 0.8) & (y < 0.0)
    stick = (np.abs(x) < 0.06) & (y >= 0.0) & (y < 0.8)
    return roof | stick


def _mushroom(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    cap = _ellipse(x, y, 0.0, 0.1, 0.8, 0.6) & (y < 0.1)
    stem = (np.abs(x) < 0.25) & (y >= 0.1) & (y < 0.8)
    return cap | stem


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64], *shape: float) -> NDArray[np.bool_]:
    centre_x, centre_y, half_width, half_height = shape
    return ((x - centre_x) / half_width) ** 2 + ((y - centre_y) / half_height) ** 2 < 1


_SILHOUETTES = {
    "sports_car": _sports_car,
    "tabby": _tabby,
    "umbrella": _umbrella,
    "mushroom": _mushroom,
}
