"""Contrastive pairs by the L2 distance, the root of the sum of squared differences."""

from model_registry.strategies.contrastive_pairs import ContrastivePairs


class CpL2Norm(ContrastivePairs):
    """Pairs as `ContrastivePairs` describes them, with the L2 distance, the root of the sum of squared differences.

    Source: the distance of Tomek's links, Two modifications of CNN, 1976.
    One class, empty budget and budget above the data: as there.
    """

    metric = "euclidean"
