"""Tests of the stand-ins for vendors' systems."""
