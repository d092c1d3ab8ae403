"""From a graph to a version in the registry, checked, promoted and rebuilt."""
