"""Keeps Kafka's topics and Connect's connectors as the files in `kafka/` say."""
