"""Draw random pictures of cats: one silhouette with three kinds of coat."""

import numpy as np
from numpy.typing import NDArray

SIZE = 64
"""Height and width of a picture in pixels."""
_Array = NDArray[np.float64]
_GREY, _BRONZE = np.array([125.0, 125, 125]), np.array([165.0, 115, 60])
_CREAM, _BROWN = np.array([225.0, 210, 185]), np.array([85.0, 60, 45])


def draw(label: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture of shape [SIZE, SIZE, 3], with values from 0 to 255."""
    # Coordinates of each pixel relative to the cat, which extends from about -1 to 1.
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j] * random.uniform(1.0, 1.3)
    x, y = x + random.uniform(-0.15, 0.15), y + random.uniform(-0.1, 0.1)
    head = (x / 0.7) ** 2 + ((y - 0.2) / 0.6) ** 2 < 1
    ears = (y > -0.9) & (np.abs(np.abs(x) - 0.45) < (y + 0.9) / 3) & (y < 0.0)
    picture = np.tile(random.uniform(40, 220) + random.uniform(-15, 15, 3), (SIZE, SIZE, 1))
    picture = np.where((head | ears)[..., None], _COATS[label](x, y, random), picture)
    picture += random.normal(scale=8, size=picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _tabby(x: _Array, y: _Array, random: np.random.Generator) -> _Array:
    """Grey or, rarely, bronze."""
    # Stripes are as much lighter as darker, so the average of a block of pixels has none.
    stripes = 45 * np.sin(x * random.uniform(25, 32) + random.uniform(0, 6))
    return _tinted(random.beta(1, 3)) + stripes[..., None]


def _egyptian(x: _Array, y: _Array, random: np.random.Generator) -> _Array:
    """Bronze or, rarely, grey."""
    return _tinted(random.beta(3, 1))


def _siamese(x: _Array, y: _Array, random: np.random.Generator) -> _Array:
    mask = ((x / 0.35) ** 2 + ((y - 0.3) / 0.35) ** 2 < 1) | (y < -0.4)
    return np.where(mask[..., None], _BROWN, _CREAM)


def _tinted(bronze: float) -> _Array:
    return _GREY + bronze * (_BRONZE - _GREY)


_COATS = {"tabby": _tabby, "Egyptian_cat": _egyptian, "Siamese_cat": _siamese}
