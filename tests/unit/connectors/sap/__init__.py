"""Unit tests of the SAP connector."""
