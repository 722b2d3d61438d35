"""ERP systems."""
