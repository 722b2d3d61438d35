"""Run the command line as `python -m oneshelf`."""

from __future__ import annotations

from oneshelf.cli import main

main()
