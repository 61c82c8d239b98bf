"""Several requests of one moment are one call of the network."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from evlora.serving.batching import Batcher


async def answered(batcher: "Batcher[int, int]", items: Sequence[int]) -> list[object]:
    task = asyncio.create_task(batcher.run())
    try:
        return await asyncio.gather(*map(batcher.answer, items), return_exceptions=True)
    finally:
        task.cancel()


def run(items: Sequence[int], *, most: int) -> tuple[list[object], list[int]]:
    sizes: list[int] = []

    def doubled(some: Sequence[int]) -> list[int]:
        if 13 in some:
            raise ValueError("13")
        return [2 * one for one in some]

    with ThreadPoolExecutor(1) as threads:
        batcher = Batcher(doubled, threads, most=most, wait_s=0.01, on_call=sizes.append)
        return asyncio.run(answered(batcher, items)), sizes


def test_what_comes_at_one_moment_is_answered_together_in_its_order() -> None:
    assert run(range(10), most=4) == ([2 * one for one in range(10)], [4, 4, 2])


def test_a_network_that_takes_one_at_a_time_gets_one_at_a_time() -> None:
    assert run(range(3), most=1)[1] == [1, 1, 1]


def test_one_bad_item_is_no_reason_to_refuse_those_beside_it() -> None:
    answers, _ = run([1, 13, 2], most=4)
    assert answers[::2] == [2, 4]
    with pytest.raises(ValueError, match="13"):
        raise answers[1]  # type: ignore[misc]
