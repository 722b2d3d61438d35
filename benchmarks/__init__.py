"""What the figures of docs/benchmarks.md are made by: `make bench`, or `python -m benchmarks NAME …`."""
