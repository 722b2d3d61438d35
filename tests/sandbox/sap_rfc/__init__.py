"""Tests of the ABAP stand-in through the `pyrfc` module that it gives."""
