"""What `import pyrfc` gives in the benchmarks: a stand-in of an ECC system in the process that reads it.

Its books are the SQLite file that BENCH_SAP_BOOKS names, which the OData stand-in serves at the same time; each call
takes BENCH_RFC_SECONDS longer than its work. SAP's own library would load the process less: there the work is SAP's.
"""

from __future__ import annotations

import os

from sandbox.erp.sap_rfc.system import AbapSystem

_SYSTEM = AbapSystem(os.environ["BENCH_SAP_BOOKS"], latency=float(os.environ.get("BENCH_RFC_SECONDS", "0")))
Connection = _SYSTEM.pyrfc.Connection
