"""Stand-ins for what tells people something."""
