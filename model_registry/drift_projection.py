"""The few directions in which embeddings differ most: what is kept of each prediction to notice that images change."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from model_registry.backbone import EMBEDDING_SIZE
from model_registry.weights import FloatArray

FEATURES = 32
"""Numbers kept of each picture: 128 bytes a row, and few enough for distances between them to mean something."""

NEGLIGIBLE = 1e-9
"""Share of the largest variance below which a direction is rounding errors: it would differ from machine to machine."""


@dataclass(frozen=True)
class Projection:
    """`embeddings @ weights.T + biases` are the features."""

    weights: FloatArray
    """[FEATURES, 1280]; the last rows are 0 where the data have fewer directions."""

    biases: FloatArray
    """[FEATURES], such that the mean picture of training has features of 0."""


def fit_projection(embeddings: FloatArray) -> Projection:
    """Principal components of float32 [N, 1280], the largest variance first; the same input gives the same result."""
    count = min(FEATURES, len(embeddings) - 1)
    # The exact decompositions take several times as long, for digits that do not matter here.
    pca = PCA(count, svd_solver="randomized", random_state=0)
    # Pictures that are all the same have no variance to take shares of. One thread: see `fit_head`.
    with np.errstate(invalid="ignore"), threadpool_limits(1):
        pca.fit(embeddings.astype(np.float64))
    variances = pca.explained_variance_
    told = variances > NEGLIGIBLE * variances.max()
    weights = np.zeros((FEATURES, EMBEDDING_SIZE))
    weights[: told.sum()] = pca.components_[told]
    return Projection(weights.astype(np.float32), (-weights @ pca.mean_).astype(np.float32))
