"""Images that several end-to-end tests use."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from common.paths import IMAGE_ROOT

CLASSES = {"planks": "wood", "rubble": "concrete", "wall": "brick"}
"""A newcomer's own classes, and the sample's whose pictures they hold."""
IMAGES_A_CLASS = 30


@pytest.fixture(scope="session")
def sample_images() -> Path:
    """The sample data set `monday`, rendered once a checkout."""
    subprocess.run([sys.executable, "-m", "data_prepare.data_sets"], check=True, capture_output=True)
    return IMAGE_ROOT / "monday"


@pytest.fixture(scope="session")
def own_images(sample_images: Path) -> Iterator[Path]:
    """Folders of other class names and another format than the sample's."""
    with tempfile.TemporaryDirectory(prefix="cargo-own-") as name:
        folder = Path(name)
        # Containers are another user.
        folder.chmod(0o755)
        for own_name, sample_name in CLASSES.items():
            (folder / own_name).mkdir()
            for number in range(IMAGES_A_CLASS):
                picture = Image.open(sample_images / sample_name / f"{sample_name}_{number}.jpg")
                picture.save(folder / own_name / f"{number}.png")
        yield folder
