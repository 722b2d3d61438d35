"""Unit tests of the SAP connector over RFC."""
