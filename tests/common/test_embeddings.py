"""What is kept of a picture, and what drift is measured on."""

import numpy as np

from common.pictures.embeddings import EMBEDDING_BYTES, as_stored, embedding_method, pack, project, unpack

EMBEDDINGS = np.random.default_rng(0).random((200, 1280), np.float32) * 6


def test_what_is_kept_is_what_was_computed_but_for_its_last_digits() -> None:
    data = pack(EMBEDDINGS[:3])
    assert len(data) == 3 * EMBEDDING_BYTES == 3 * 2560
    assert np.array_equal(unpack(data), as_stored(EMBEDDINGS[:3]))
    assert np.abs(unpack(data) / EMBEDDINGS[:3] - 1).max() < 2**-10
    assert pack(np.ones(1280, np.float32))[:4] == b"\x00\x3c\x00\x3c"


def test_features_keep_distances() -> None:
    features = project(EMBEDDINGS)
    assert features.shape == (200, 128)
    kept = [
        np.linalg.norm(features[one] - features[one + 1]) / np.linalg.norm(EMBEDDINGS[one] - EMBEDDINGS[one + 1])
        for one in range(199)
    ]
    assert 0.95 < np.sqrt(np.mean(np.square(kept))) < 1.05
    assert 0.75 < min(kept) < max(kept) < 1.25


def test_features_are_the_same_everywhere() -> None:
    first = project(np.eye(1280, dtype=np.float32)[:2]) * np.sqrt(np.float32(128))
    text = "".join("+" if sign > 0 else "-" for sign in first.ravel())
    assert np.abs(np.abs(first) - 1).max() < 1e-6
    assert text[:64] == "-++--+-+--+++-++-+-+--++++++--+--++-+-++-+------++++---+-----+-+"


def test_another_network_or_precision_is_another_method() -> None:
    assert len({embedding_method(*each) for each in (("a", "float32"), ("b", "float32"), ("a", "int8"))}) == 3
    assert embedding_method("a", "float32") == embedding_method("a", "float32")
