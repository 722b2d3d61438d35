"""The stock ledger: levels with their base reads, the rules for applying a read, and what callers may see."""
