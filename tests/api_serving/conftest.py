import io
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from api_serving.app import create_app
from api_serving.models import model_loader
from api_serving.settings import Settings
from tests.api_serving import tiny_model
from tests.api_serving.fake_registry import Api, FakeRegistry
from tests.api_serving.running import running

COLOURS = {"blue": (10, 10, 240), "green": (10, 240, 10), "red": (240, 10, 10)}


def encode(colour: str = "red", form: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    return encode


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """monday/{blue,green,red}/COLOUR_1.jpg, a damaged and a non-image file, and a secret outside."""
    base = tmp_path_factory.mktemp("images")
    root = base / "root"
    for colour in COLOURS:
        folder = root / "monday" / colour
        folder.mkdir(parents=True)
        (folder / f"{colour}_1.jpg").write_bytes(encode(colour))
    (root / "monday/red/damaged.jpg").write_bytes(encode("red", size=(640, 480))[:900])
    (root / "monday/red/text.jpg").write_text("no picture")
    (root / "monday/red/empty.jpg").touch()
    (base / "secret.jpg").write_bytes(encode("blue"))
    (root / "monday/red/leaving.jpg").symlink_to(base / "secret.jpg")
    return root


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, image_root: Path) -> Settings:
    """Serves the tiny model from disk."""
    folder = tmp_path_factory.mktemp("models")
    tiny_model.install(folder / "downloaded", folder, version="7")
    return Settings(image_root=image_root, model_source="disk", model_dir=folder, workers=2, chunk_size=4)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a real server that is ready."""
    with running(create_app(settings)) as connected:
        yield connected


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    registry = FakeRegistry(tmp_path / "registered")
    monkeypatch.setattr(model_loader, "Registry", lambda *_: registry)
    return registry


@pytest.fixture
def following(tmp_path: Path, image_root: Path) -> Settings:
    return Settings(
        image_root=image_root, model_dir=tmp_path / "models", poll_s=0.2, fallback_after_s=0, workers=2, chunk_size=4
    )


@pytest.fixture
def api(registry: FakeRegistry, following: Settings) -> Iterator[Api]:
    registry.add(1)
    with running(create_app(following)) as client:
        yield Api(client)
