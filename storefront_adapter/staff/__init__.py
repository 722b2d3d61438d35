"""The staff page: server-rendered, for a PDA, a phone or a till."""
