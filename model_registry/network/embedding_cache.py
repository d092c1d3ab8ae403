"""Embeddings on disk, so that the same picture is computed once whatever it is called and wherever it lies."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from common.cli import UserError
from common.pictures.embeddings import FloatArray, pack, unpack

LOCK_TIMEOUT_S = 60.0
"""How long a process waits for another one's write; a batch takes milliseconds."""


class EmbeddingCache:
    """A SQLite file that several processes may use at once. `method` names what made the embeddings."""

    def __init__(self, file: Path, method: str) -> None:
        self._file = file
        self._method = method
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with self._session() as session:
                session.execute(
                    "create table if not exists embedding"
                    " (method text, content text, vector blob not null, primary key (method, content)) without rowid"
                )
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"the cache of embeddings {file} cannot be used: {error}. "
                "Delete the file, or set MODEL_REGISTRY_EMBEDDING_CACHE to another place."
            ) from error

    def get(self, contents: Iterable[str]) -> dict[str, FloatArray]:
        """The embeddings known so far, by content hash: float32 [1280], rounded as `pack` does."""
        found: dict[str, FloatArray] = {}
        with self._session() as session:
            for content in contents:
                query = "select vector from embedding where method = ? and content = ?"
                for (vector,) in session.execute(query, (self._method, content)):
                    (found[content],) = unpack(vector)
        return found

    def put(self, embeddings: Mapping[str, FloatArray]) -> None:
        """Add embeddings by content hash; what another process added meanwhile stays."""
        rows = [(self._method, content, pack(vector)) for content, vector in embeddings.items()]
        with self._session() as session:
            session.executemany("insert or ignore into embedding values (?, ?, ?)", rows)

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        """A transaction in a connection of its own, committed at the end."""
        with closing(sqlite3.connect(self._file, timeout=LOCK_TIMEOUT_S)) as connection, connection:
            yield connection
