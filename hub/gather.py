"""Questions that wait at the same moment share a statement.

One statement for many costs the database and this process a fraction of as many statements for one. Nobody waits for
company: a question goes at once while fewer than `at_once` statements are on their way, else with all others that have
come by the time one returns. A statement is sent only after each of its questions has arrived, so no answer is older
than its question.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_PATIENCE_SECONDS = 30.0

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathered(Generic[Question, Answer]):
    """Asks together, on the event loop of one process.

    Args:
        serve: answers many questions, in their order; an exception in an answer's place is raised where it was asked.
        at_once: statements on their way at the same time.
        most: questions in one statement.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | Exception]]],
        *,
        at_once: int = 2,
        most: int = 100,
    ) -> None:
        self._serve = serve
        self._at_once = at_once
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """Return the answer.

        Raises:
            Exception: what became of the statement, or of this question alone.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if len(self._running) < self._at_once:
            self._running.add(asyncio.create_task(self._work()))
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer([(question, answer) for question, answer in taken if not answer.done()])
        finally:  # and no later: a question that comes now must see that nobody looks any more
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer(self, asked: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        outcomes: Sequence[Answer | Exception]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                outcomes = await self._serve([question for question, _ in asked])
        except Exception as error:  # noqa: BLE001 - each of the questions raises it
            outcomes = [error] * len(asked)
        for (_, answer), outcome in zip(asked, outcomes, strict=True):
            if answer.done():  # whoever asked has gone
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
