"""Contrastive pairs by the L1 distance, the sum of absolute differences."""

from model_registry.strategies.contrastive_pairs import ContrastivePairs


class CpL1Norm(ContrastivePairs):
    """Pairs as `ContrastivePairs` describes them, with the L1 distance, the sum of absolute differences.

    Source: Aggarwal, Hinneburg and Keim, On the surprising behavior of distance metrics in high dimensional space,
    2001, prefer it in many dimensions.
    One class, empty budget and budget above the data: as there.
    """

    metric = "cityblock"
