"""SAP over RFC on a real protocol stack and real sockets; `make rfc-sockets`, in an environment of its own."""
