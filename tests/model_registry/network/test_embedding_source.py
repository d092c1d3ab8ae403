import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.cli import UserError
from common.pictures.embeddings import as_stored
from model_registry.data.content_hash import content_hash
from model_registry.network import embedding_source
from model_registry.network.backbone import pretrained_backbone
from model_registry.network.embedding_cache import EmbeddingCache
from model_registry.network.embedding_source import EmbeddingSource, read_image

Save = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(embedding_source, "cpu_session", refuse)


def test_embeddings_come_in_order_and_match_the_network(save_image: Save, cache: Path) -> None:
    files = [save_image("red.png"), save_image("blue.png", (10, 20, 250)), save_image("red.png")]
    found = EmbeddingSource(cache, content_hash).of(files)
    assert found.shape == (3, 1280)
    assert found.dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(found, as_stored(found))
    session = embedding_source.cpu_session(pretrained_backbone())
    for file, vector in zip(files, found, strict=True):
        (expected,) = session.run(None, {"image": read_image(file)[None]})
        np.testing.assert_allclose(vector, expected[0], atol=1e-4, rtol=1e-3)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_nothing_gives_an_empty_matrix(cache: Path) -> None:
    assert EmbeddingSource(cache, content_hash).of([]).shape == (0, 1280)


def test_known_content_is_not_computed_again(
    save_image: Save, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    first = EmbeddingSource(cache, content_hash).of([save_image("one.png")])
    request.getfixturevalue("no_network")
    np.testing.assert_array_equal(
        EmbeddingSource(cache, content_hash).of([save_image("elsewhere/other_name.png")]), first
    )
    with pytest.raises(AssertionError, match="computed again"):
        EmbeddingSource(cache, content_hash).of([save_image("two.png", (0, 0, 0))])
    monkeypatch.setattr(embedding_source, "embedding_method", lambda: "another network")
    with pytest.raises(AssertionError, match="computed again"):
        EmbeddingSource(cache, content_hash).of([save_image("elsewhere/other_name.png")])


def test_each_is_taken_from_where_it_was_seen_first(save_image: Save, cache: Path) -> None:
    streamed, cached, computed = (save_image(f"{red}.png", (red, 0, 0)) for red in (50, 100, 150))
    EmbeddingSource(cache, content_hash).of([cached])
    known = EmbeddingSource(cache, content_hash)
    known.add_streamed({streamed: (known.content_hash(streamed), np.full(1280, 3, dtype=np.float32))})
    found = known.of([computed, streamed, cached, streamed])
    assert found[1].tolist() == [3] * 1280
    assert known.counts == {"streamed": 1, "cached": 1, "computed": 1}
    np.testing.assert_array_equal(known.of([cached, streamed, computed]), found[[2, 1, 0]])
    assert known.describe_counts() == "embeddings: 1 from the stream, 1 from the cache, 1 computed", (
        "each is counted once"
    )


def test_a_file_that_is_not_what_streamed_is_told_and_embedded_anew(
    save_image: Save, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, same = save_image("changed.png"), save_image("same.png", (1, 2, 3))
    known = EmbeddingSource(cache, content_hash)
    wrong = np.full(1280, 3, dtype=np.float32)
    known.add_streamed({file: ("0" * 64, wrong), same: (known.content_hash(same), wrong)})
    assert [record.getMessage() for record in caplog.records] == [
        f"{file} has changed since it streamed: it is embedded as it is now"
    ]
    assert np.abs(known.of([file]) - wrong).max() > 1
    assert known.counts == {"streamed": 0, "cached": 0, "computed": 1}


def test_unreadable_images_are_named(save_image: Save, tmp_path: Path, cache: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(save_image("good.png").read_bytes()[:60])
    for file in (damaged, tmp_path / "absent.png"):
        with pytest.raises(UserError, match=file.name):
            EmbeddingSource(cache, content_hash).of([save_image("good.png"), file])


def test_a_damaged_cache_is_named(cache: Path) -> None:
    cache.write_text("no database, but long enough to be taken for one " * 20)
    with pytest.raises(UserError, match="Delete the file"):
        EmbeddingSource(cache, content_hash)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from model_registry.network.embedding_cache import EmbeddingCache
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
