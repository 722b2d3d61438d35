"""Runs flows in a process of its own: a JSON line in asks for a run, a JSON line out tells its end."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module


def main() -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        flow = getattr(import_module(f"flows.{wanted['flow']}"), wanted["flow"])
        try:
            answer = {"result": asyncio.run(flow(**wanted["parameters"]))}
        except Exception as error:  # noqa: BLE001 - the test looks at whatever it was
            answer = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write("ANSWER " + json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
