"""What a service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "evlora_requests", "Requests to /predict.", ("bundle", "status"), registry=registry
        )
        self.seconds = Histogram(
            "evlora_request_seconds",
            "Time of a good request to /predict.",
            buckets=SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "evlora_stage_seconds",
            "Time of each stage of it.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self.inside = Gauge(
            "evlora_requests_inside", "Requests worked on or waiting.", registry=registry
        )
        self.batch = Histogram(
            "evlora_batch_recordings",
            "Recordings of one call of the network.",
            buckets=(1, 2, 4, 8, 16),
            registry=registry,
        )
        self.decoders_ended = Counter(
            "evlora_decoders_ended",
            "Decoders that ended in their work.",
            ("why",),
            registry=registry,
        )
        self.cameras = Gauge("evlora_live_streams", "Cameras that are answered.", registry=registry)
        self.moments = Counter(
            "evlora_live_moments", "Moments of cameras.", ("what",), registry=registry
        )

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
