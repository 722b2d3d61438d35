"""Tests of the Kingdee sandbox: real sockets, the official SDK, and a client that signs by itself."""
