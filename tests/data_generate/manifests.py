"""Manifests for tests that need no files."""

from data_generate.rows.manifests import Item, Manifest


def manifest(dataset: str, images: int) -> Manifest:
    items = tuple(Item(image_path=f"c/{number}.jpg", target=number % 5) for number in range(images))
    return Manifest(dataset, dataset, items)
