"""Prefect flows. Thin: what they do is the hub's, when and how it is shown is theirs."""
