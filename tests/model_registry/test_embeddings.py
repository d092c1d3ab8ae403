import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.cli import UserError
from model_registry import embeddings
from model_registry.backbone import pretrained_backbone
from model_registry.embedding_cache import EmbeddingCache
from model_registry.embeddings import embed, read_image

Save = Callable[..., Path]


def test_embeddings_come_in_order_and_match_the_network(save_image: Save, tmp_path: Path) -> None:
    files = [save_image("red.png"), save_image("blue.png", (10, 20, 250)), save_image("red.png")]
    found = embed(files, tmp_path / "cache.sqlite")
    assert found.shape == (3, 1280)
    assert found.dtype == np.dtype(np.float32)
    session = embeddings.cpu_session(pretrained_backbone())
    for file, vector in zip(files, found, strict=True):
        (expected,) = session.run(None, {"image": read_image(file)[None]})
        np.testing.assert_allclose(vector, expected[0], atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_nothing_gives_an_empty_matrix(tmp_path: Path) -> None:
    assert embed([], tmp_path / "cache.sqlite").shape == (0, 1280)


def test_known_content_is_not_computed_again(save_image: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache.sqlite"
    first = embed([save_image("one.png")], cache)

    def refuse(_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(embeddings, "cpu_session", refuse)
    np.testing.assert_array_equal(embed([save_image("elsewhere/other_name.png")], cache), first)
    with pytest.raises(AssertionError, match="computed again"):
        embed([save_image("one.png", (0, 0, 0))], cache)
    monkeypatch.setattr(embeddings, "embedding_method", lambda: "another network")
    with pytest.raises(AssertionError, match="computed again"):
        embed([save_image("elsewhere/other_name.png")], cache)


def test_unreadable_images_are_named(save_image: Save, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(save_image("good.png").read_bytes()[:60])
    for file in (damaged, tmp_path / "absent.png"):
        with pytest.raises(UserError, match=file.name):
            embed([save_image("good.png"), file], tmp_path / "cache.sqlite")


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    cache.write_text("no database, but long enough to be taken for one " * 20)
    with pytest.raises(UserError, match="Delete the file"):
        embed([], cache)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from model_registry.embedding_cache import EmbeddingCache
file, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(100):
    vectors = {f"{number}-{turn}": np.full(1280, turn), f"shared-{turn}": np.zeros(1280)}
    EmbeddingCache(file, "m").put(vectors)
"""


def test_processes_share_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    command = [sys.executable, "-c", WRITER, str(cache)]
    writers = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for number in range(3)
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
    # Let go at once, so that they meet.
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    names = [f"{number}-{turn}" for number in range(3) for turn in range(100)]
    found = EmbeddingCache(cache, "m").get([*names, *(f"shared-{turn}" for turn in range(100))])
    assert len(found) == 400
    assert found["2-99"].tolist() == [99.0] * 1280
