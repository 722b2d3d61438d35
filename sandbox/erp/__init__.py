"""Stand-ins for ERP systems."""
