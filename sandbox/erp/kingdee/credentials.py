"""The demo tenant's public credentials: made up, good for this sandbox and for nothing else."""

from __future__ import annotations

from typing import Final

ACCT_ID: Final = "6a1b2c3d4e5f60"
USER: Final = "demo"
PASSWORD: Final = "demo-kingdee-password"
# "<client id>_<32 base64 characters>": the second half hides the key of the gateway signature (see signature.py)
APP_ID: Final = "288301_b25lc2hlbGYgZGVtbyBzYW5kYm94ISEh"
APP_SECRET: Final = "demo-kingdee-app-secret-0123456789ab"
LCID: Final = 2052
ORG_NUM: Final = "100"
