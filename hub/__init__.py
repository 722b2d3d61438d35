"""The domain: stock, items, synchronization. Knows no vendor, no Prefect and no web framework."""
