from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from PIL import Image

from common.pictures.embeddings import FloatArray
from model_registry.network.backbone import pretrained_backbone
from model_registry.network.embedding_source import cpu_session
from model_registry.network.pretrained_weights import read_weights, weights_file


@pytest.fixture(scope="session")
def weights() -> dict[str, FloatArray]:
    return read_weights(weights_file())


@pytest.fixture(scope="session")
def backbone() -> onnx.ModelProto:
    return pretrained_backbone()


@pytest.fixture(scope="session")
def session(backbone: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return cpu_session(backbone)


@pytest.fixture
def pictures() -> npt.NDArray[np.uint8]:
    """Five random pictures: uint8 [5, 224, 224, 3]."""
    return np.random.default_rng(7).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


@pytest.fixture
def save_image(tmp_path: Path) -> Callable[..., Path]:
    def save(name: str, colour: tuple[int, int, int] = (200, 30, 40)) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), colour).save(file)
        return file

    return save
