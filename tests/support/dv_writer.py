"""A camera of iniVation on the network, by dv-processing's own writer: `python dv_writer.py …`.

It is a process of its own, to be killed: `NetworkWriter` waits for its clients when it is closed.
"""

import argparse
import sys
import time
from pathlib import Path

import dv_processing as dv
import numpy as np

BEGUN_US = 1_700_000_000_000_000


def main() -> None:
    """Send events, or frames, as fast as a camera would, until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="a port of 127.0.0.1, or the path of a local socket")
    parser.add_argument("--kind", choices=("events", "frames"), default="events")
    parser.add_argument("--rate-hz", type=float, default=20_000)
    parser.add_argument("--recording", type=Path, help="an npz whose events are sent at their time")
    parser.add_argument("--zero-s", type=float, default=0.0, help="on this machine's clock")
    asked = parser.parse_args()
    is_port = asked.address.isdecimal()
    address = ("127.0.0.1", int(asked.address)) if is_port else (dv.Path(asked.address),)
    stream = dv.io.Stream.EventStream if asked.kind == "events" else dv.io.Stream.FrameStream
    recorded = None if asked.recording is None else dict(np.load(asked.recording))
    size = (64, 48) if recorded is None else (int(recorded["width"]), int(recorded["height"]))
    writer = dv.io.NetworkWriter(*address, stream(0, asked.kind, "camera", size))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    random = np.random.default_rng(0)
    zero_s = asked.zero_s or time.time()
    before_us = round(1e6 * (time.time() - zero_s))
    while Path(__file__).exists():
        time.sleep(0.005 if asked.kind == "events" else 0.02)
        now_us = round(1e6 * (time.time() - zero_s))
        if recorded is not None:
            first, stop = np.searchsorted(recorded["t"], (before_us, now_us))
            store = dv.EventStore()
            part = (recorded[name][first:stop].tolist() for name in ("t", "x", "y", "p"))
            for t_us, x, y, polarity in zip(*part, strict=True):
                store.push_back(t_us + BEGUN_US, x, y, bool(polarity))
            if stop > first:
                writer.writeEvents(store)
        elif asked.kind == "frames":
            image = np.full((48, 64, 3), (10, 20, now_us // 20_000 % 256), np.uint8)
            writer.writeFrame(dv.Frame(BEGUN_US + now_us, image))
        else:
            count = round(asked.rate_hz * (now_us - before_us) / 1e6)
            times = np.sort(random.integers(before_us, now_us, count)) + BEGUN_US
            store = dv.EventStore()
            # A bar that moves to the right, 40 columns a second.
            for t_us in times.tolist():
                column = (t_us - BEGUN_US) // 25_000 % 64
                store.push_back(t_us, column, t_us % 48, bool(t_us % 2))
            if count:
                writer.writeEvents(store)
        before_us = now_us


if __name__ == "__main__":
    sys.exit(main())
