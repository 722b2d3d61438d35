"""The outside world: one package per vendor's system. The only code that speaks to other machines."""
