"""From the manifests to rows."""
