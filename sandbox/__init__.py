"""Stand-ins for the vendors' systems, written from their protocol pages and from nothing else."""
