"""Random changes of training images, in NumPy, so that every framework sees the same ones."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cae_backends.training.recipe import Recipe
from cae_core.arrays import Floats32, as_unit_float

__all__ = ["Augmentation"]


class Augmentation:
    """Takes the images at an index to what a step sees, float32 (n, h, w, k) in [0, 1].

    Attributes:
        recipe: its shift, flip, mix and noise.
    """

    def __init__(self, images: NDArray[np.uint8], recipe: Recipe) -> None:
        self.recipe = recipe
        most = recipe.shift
        self._shape = images.shape[1:3]
        # padded once, as bytes: a crop is then one gather
        self._images = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0))) if most else images

    def __call__(self, index: NDArray[np.int64], rng: np.random.Generator) -> Floats32:
        """Return the images at ``index``, changed at random."""
        recipe, n = self.recipe, len(index)
        if recipe.shift:
            down, right = rng.integers(0, 2 * recipe.shift + 1, (2, n))
            windows = sliding_window_view(self._images, self._shape, axis=(1, 2))
            chosen = windows[index, down, right].transpose(0, 2, 3, 1)
        else:
            chosen = self._images[index]
        if recipe.flip:
            mirrored = rng.random(n) < 0.5
            chosen = np.where(mirrored[:, None, None, None], chosen[:, :, ::-1], chosen)
        x = as_unit_float(np.ascontiguousarray(chosen))
        if recipe.mix:
            weight = recipe.mix * rng.random((n, 1, 1, 1), dtype=np.float32)
            x = np.asarray((1 - weight) * x + weight * x[rng.permutation(n)], np.float32)
        if recipe.noise:
            noise = np.asarray(recipe.noise * rng.standard_normal(x.shape, dtype=np.float32), np.float32)
            x = np.asarray(np.clip(x + noise, 0, 1), np.float32)
        return x
