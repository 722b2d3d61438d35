"""Connectors that tell people something."""
