"""What the ERP's own people do while somebody reads: real bills, so that the books stay the truth."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from sandbox.erp.kingdee.forms import bill_forms

if TYPE_CHECKING:
    import sqlite3

    from sandbox.erp.kingdee.world import World

# Not a bill that an import wrote: taking the opening stock back would empty the shop.
_NEWEST: Final = """
SELECT id, status FROM bill
WHERE status = ? AND (SELECT COUNT(*) FROM entry WHERE entry.bill = bill.id) <= 2
ORDER BY modified DESC, id DESC LIMIT 1
"""
_STANDING_OR_TAKEN_BACK: Final = "SELECT id, form, number, status FROM bill WHERE status IN (?, ?) ORDER BY id"
_REFERRING_SHARE: Final = 0.5
_AUDITED: Final = "C"
_TAKEN_BACK: Final = "D"


def move_or_take_back(world: World) -> None:
    """Post a random movement, un-audit (反审核) the newest bill, audit the newest un-audited one again: in turns.

    Half the time it is one of the bills under a number that somebody gave them instead, if there are any: the one that
    the dice choose is un-audited, or audited again.
    """
    with world.database.transaction():
        turn = world.database.next_number("stirring")
        dice = random.Random(f"stirring/{turn}")
        referring = _referring(world) if dice.random() < _REFERRING_SHARE else []
        if referring:
            _turn(world, dice.choice(referring))
        elif turn % 3 == 1:
            world.random_move()
        else:
            for bill in world.database.rows(_NEWEST, (_AUDITED if turn % 3 else _TAKEN_BACK,)):
                _turn(world, bill)


def _referring(world: World) -> list[sqlite3.Row]:
    forms = {form.form_id: form for form in bill_forms().values() if form.takes or form.puts}
    bills = world.database.rows(_STANDING_OR_TAKEN_BACK, (_AUDITED, _TAKEN_BACK))
    return [bill for bill in bills if bill["form"] in forms and not forms[bill["form"]].drew(bill["number"])]


def _turn(world: World, bill: sqlite3.Row) -> None:
    if bill["status"] == _AUDITED:
        world.unaudit(bill["id"])
    else:
        world.audit(bill["id"], allow_negative=True)
