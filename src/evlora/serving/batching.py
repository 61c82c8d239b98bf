"""Requests of a few milliseconds answered by one call of the network."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class Batcher(Generic[ItemT, AnswerT]):
    """Collects items for a moment, and answers them together.

    While the network works, what comes meanwhile is collected anyway: under load nobody waits for
    the sake of others.

    Args:
        answer: Answers several items, in their order.
        threads: Where the network runs, one call at a time.
        most: Items of one call.
        wait_s: How long the first item waits for others.
        on_call: Is called with the number of items of each call.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
        threads: Executor,
        *,
        most: int,
        wait_s: float,
        on_call: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._answer, self._threads = answer, threads
        self._most, self._wait_s = most, wait_s
        self._on_call = on_call
        self._waiting: asyncio.Queue[tuple[ItemT, asyncio.Future[AnswerT]]] = asyncio.Queue()

    async def answer(self, item: ItemT) -> AnswerT:
        """The answer to an item, computed with those that came at about the same time.

        Raises:
            Exception: What the network raised for it.
        """
        future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Answer what comes, until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            if self._most > 1 and self._waiting.qsize() < self._most - 1:
                await asyncio.sleep(self._wait_s)
            while len(batch) < self._most and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(item, future) for item, future in batch if not future.done()]
            if batch:
                await self._answered(batch)

    async def _answered(self, batch: list[tuple[ItemT, "asyncio.Future[AnswerT]"]]) -> None:
        self._on_call(len(batch))
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(
                self._threads, self._answer, [item for item, _ in batch]
            )
        except Exception as error:
            # Whoever waits must get it; one bad item is no reason to refuse those beside it.
            if len(batch) > 1:
                for one in batch:
                    await self._answered([one])
                return
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
