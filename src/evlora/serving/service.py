"""A service's parts, which its routes share."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evlora.limits import limits
from evlora.serving.admission import Admission
from evlora.serving.batching import Batcher
from evlora.serving.decoders import Decoders
from evlora.serving.metrics import Metrics
from evlora.serving.recognizers import Images, Probabilities, Shelf

BATCH_WAIT_S = 0.003
"""How long a request waits for others that come at the same moment."""


@dataclass(slots=True)
class Service:
    """What answers requests."""

    shelf: Shelf
    decoders: Decoders
    metrics: Metrics
    uploads: Path | None = None
    """Where uploads lie until they are answered; the system's folder for such files by default."""
    batch_wait_s: float = BATCH_WAIT_S
    is_ready: bool = False
    network: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="network")
    )
    """The thread in which all networks run, one call at a time."""
    batchers: Mapping[str, Batcher[Images, Probabilities]] = field(default_factory=dict)
    requests: Admission = field(
        default_factory=lambda: Admission(
            limits().requests_at_once, limit="requests_at_once", what="requests"
        )
    )
    cameras: Admission = field(
        default_factory=lambda: Admission(
            limits().live_streams, limit="live_streams", what="cameras"
        )
    )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Inside, requests are answered."""
        self.batchers = {
            name: Batcher(
                lambda some, one=served: list(one.probabilities(some)),
                self.network,
                most=served.most_at_once,
                wait_s=self.batch_wait_s,
                on_call=self.metrics.batch.observe,
            )
            for name, served in self.shelf.served.items()
        }
        tasks = [asyncio.create_task(batcher.run()) for batcher in self.batchers.values()]
        try:
            await self.decoders.start()
            self.is_ready = True
            yield
        finally:
            self.is_ready = False
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self.decoders.end()
            self.network.shutdown(cancel_futures=True)
