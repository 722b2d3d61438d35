"""What still differs from an ERP once everything that is known is settled, and why (`docs/reconciliation.md`)."""
