"""Tests of the SAP sandbox over real sockets."""
