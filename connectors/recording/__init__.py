"""Recordings of a real system's answers that may be handed out: everything in them is made up but their form.

The rule is closed: each value is replaced by a pseudonym unless it is on a list of what may stay (names of fields,
codes that our mapping files list, how numbers are spelled). What nobody thought of is replaced, never let through.
"""

from __future__ import annotations
