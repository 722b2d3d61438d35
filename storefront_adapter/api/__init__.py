"""The machine interface: what shops, monitors and pushing systems call."""
