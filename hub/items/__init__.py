"""Articles: which numbers of which ERP mean the same sellable variant."""
