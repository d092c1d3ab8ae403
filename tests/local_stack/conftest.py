from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def sample_classes(tmp_path: Path) -> Path:
    """A data set of two classes with three noisy pictures each."""
    noise = np.random.default_rng(0)
    for name in ("apple", "pear"):
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}_{number}.png")
    return tmp_path / "mine"
