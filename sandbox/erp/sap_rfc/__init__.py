"""A stand-in for an ECC system behind SAP's RFC library, in this process: a `pyrfc` module and what answers it.

    system = AbapSystem(database, articles=400)          # sandbox.erp.sap_rfc.system
    connection = system.pyrfc.Connection(ashost=..., sysnr="00", client="100", user=..., passwd=...)
    connection.call("RFC_READ_TABLE", QUERY_TABLE="MARD", ...)

`system.pyrfc` is a module object with `Connection` and the exception classes; `system.faults` is the switchboard with
the faults of `faults.FAULTS`; `system.world` posts movements and tells the totals of the books (`move`, `cancel`,
`random_moves`, `totals`, `stock`). For tests there are also `system.reset()`, `system.unlock_user()`,
`system.conversations`, `system.latency` (seconds of each log-on and call) and `system.close()`. User, password and
client are those of `sandbox.erp.sap.auth`.

The books are the SQLite file of the OData sandbox (`sandbox.erp.sap`), and both doors may be open at the same time, in
one process or in two: the file is in WAL mode, each statement sees what is committed, writers wait for each other. The
first start on a new file seeds it; let it finish before the second process starts.

Function modules that are not here raise FU_NOT_FOUND, as in SAP.
"""
