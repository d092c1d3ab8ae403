"""Contrastive pairs by the angle, whatever the embeddings' lengths."""

from model_registry.strategies.contrastive_pairs import ContrastivePairs


class CpCosine(ContrastivePairs):
    """Pairs as `ContrastivePairs` describes them, with the angle, whatever the embeddings' lengths.

    Source: the usual likeness of embeddings, Salton, Wong and Yang, A vector space model for automatic indexing, 1975.
    One class, empty budget and budget above the data: as there.
    """

    metric = "cosine"
