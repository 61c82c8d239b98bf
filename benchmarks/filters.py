"""Filters beside those of other tools on the same events, and what they keep of signal and noise.

Peers live in environments of their own (`python -m venv peers/NAME`, `pip install NAME==VERSION`);
each is called there by this file with its name as argument, and gets events as an .npy file:

    python benchmarks/filters.py table --peers peers --data ../shared/data
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEERS = ("dv-processing", "eventcv", "evutils", "tonic")
WINDOW_US, PERIOD_US = 5_000, 1_000
ROUNDS = 3
FRAMES = 100


def timed(function: Callable[[], Any], rounds: int = ROUNDS) -> tuple[Any, float]:
    """What the function returns, and the least processor time of a few calls in seconds."""
    seconds: list[float] = []
    result = None
    for _ in range(rounds):
        begun = time.process_time()
        result = function()
        seconds.append(time.process_time() - begun)
    return result, min(seconds)


def run_dv_processing(events: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Background activity of dv-processing."""
    from datetime import timedelta

    import dv_processing as dv

    store = dv.EventStore()
    for t, x, y, p in events.tolist():
        store.push_back(t, x, y, bool(p))

    def background_activity() -> Any:
        window = timedelta(microseconds=WINDOW_US)
        kept = dv.noise.BackgroundActivityNoiseFilter(size, window)
        kept.accept(store)
        return kept.generateEvents()

    kept, seconds = timed(background_activity)
    return {"background_activity": ([(e.timestamp(), e.x(), e.y()) for e in kept], seconds)}


def run_eventcv(events: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Background activity, refractory period and hot pixels of eventcv."""
    import eventcv  # pyright: ignore[reportMissingImports]

    table = np.ascontiguousarray(events[:, [1, 2, 0, 3]])
    stream = eventcv.from_numpy(table, time_unit="us", sensor_size=size)
    found: dict[str, Any] = {}
    for name, function in {
        "background_activity": lambda: stream.background_activity_filter(WINDOW_US),
        "refractory_period": lambda: stream.refractory_filter(PERIOD_US),
        "refractory_period, from every event": lambda: stream.refractory_filter(
            PERIOD_US, refresh="all"
        ),
    }.items():
        kept, seconds = timed(function)
        found[name] = (kept.numpy()[:, [2, 0, 1]].astype(np.int64).tolist(), seconds)
    return found


def run_evutils(events: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """The refractory period of evutils."""
    from evutils.transforms.functional import (  # pyright: ignore[reportMissingImports]
        refractory_period,
    )

    del size
    table = np.zeros(len(events), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    for place, name in enumerate("txyp"):
        table[name] = events[:, place]
    kept, seconds = timed(lambda: refractory_period(table, PERIOD_US))
    rows = np.stack([kept[name].astype(np.int64) for name in "txy"], axis=1).tolist()
    return {"refractory_period, from every event": (rows, seconds)}


def run_tonic(events: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """The refractory period and the denoising of tonic, which loop in Python."""
    from tonic.functional import (  # pyright: ignore[reportMissingImports]
        denoise_numpy,
        refractory_period_numpy,
    )

    del size
    table = np.zeros(len(events), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    for place, name in enumerate("txyp"):
        table[name] = events[:, place]
    found: dict[str, Any] = {}
    for name, function in {
        "refractory_period, from every event": lambda: refractory_period_numpy(
            table.copy(), PERIOD_US
        ),
        "background_activity, four neighbours": lambda: denoise_numpy(table.copy(), WINDOW_US),
    }.items():
        kept, seconds = timed(function, rounds=1)
        rows = np.stack([kept[key].astype(np.int64) for key in "txy"], axis=1).tolist()
        found[name] = (rows, seconds)
    return found


RUNS = {
    "dv-processing": run_dv_processing,
    "eventcv": run_eventcv,
    "evutils": run_evutils,
    "tonic": run_tonic,
}


def run_peer(name: str, path: Path, width: int, height: int, out: Path) -> None:
    """Run one peer on the events of a file, in its own environment."""
    from importlib.metadata import version

    found = RUNS[name](np.load(path), (width, height))
    out.write_text(json.dumps({"version": version(name), "found": found}), encoding="utf-8")


def rows_of(events: Any) -> list[list[int]]:
    """Time, column and row of each event."""
    return np.stack([events.t_us, events.x.astype(int), events.y.astype(int)], axis=1).tolist()


def own(events: Any) -> dict[str, tuple[list[list[int]], float]]:
    """What evlora's filters keep."""
    from evlora.recordings import filters

    found: dict[str, tuple[list[list[int]], float]] = {}
    for name, function in {
        "background_activity": lambda: filters.filter_background_activity(
            events, window_us=WINDOW_US
        ),
        "refractory_period": lambda: filters.filter_refractory_period(events, period_us=PERIOD_US),
    }.items():
        kept, seconds = timed(function)
        found[name] = rows_of(kept), seconds
    return found


def compare(peers: Path, name: str, events: Any) -> None:
    """Print a row for each filter of each peer."""
    mine = own(events)
    table = np.stack([events.t_us, events.x, events.y, events.polarity], axis=1).astype(np.int64)
    # dv-processing keeps all of its first window where the clock begins at 0.
    table[:, 0] += 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "events.npy", Path(folder) / "found.json"
        np.save(path, table)
        for peer in PEERS:
            python = peers / peer / "bin" / "python"
            if not python.exists():
                continue
            words = [peer, str(path), str(events.width), str(events.height), str(out)]
            subprocess.run([str(python), __file__, "peer", *words], check=True)
            content = json.loads(out.read_text(encoding="utf-8"))
            for title, (rows, seconds) in content["found"].items():
                theirs = {(t - 10_000_000, x, y) for t, x, y in rows}
                base = title.partition(",")[0]
                kept, own_seconds = mine[base]
                ours = set(map(tuple, kept))
                print(
                    f"| {name} | {title} | {peer} {content['version']} | {len(kept):,} | "
                    f"{len(rows):,} | {len(ours ^ theirs):,} | {seconds / own_seconds:.2f} |",
                    flush=True,
                )


def labelled(*, noise_hz: float, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Events of squares that move with noise and twelve hot pixels, and which are signal."""
    from evlora.recordings import EventStream
    from evlora.recordings.simulator import EventSimulator, SensorModel

    quiet = {"threshold_spread": 0.15, "leak_rate_hz": 0, "shot_noise_rate_hz": 0}
    sensor = SensorModel.model_validate(quiet)
    simulator = EventSimulator(width=128, height=96, sensor=sensor, seed=seed)
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (96 // 8, 512 // 8)).astype(np.uint8)
    scene = np.kron(scene, np.ones((8, 8), np.uint8))
    parts = [simulator.push(scene[:, i : i + 128], 5_000 * i) for i in range(FRAMES)]
    fields = ("t_us", "x", "y", "polarity")
    signal = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    length_us = 5_000 * (FRAMES - 1)
    count = rng.poisson(noise_hz * 128 * 96 * length_us / 1e6)
    hot = rng.choice(128 * 96, 12, replace=False)
    pixel = np.concatenate([rng.integers(0, 128 * 96, count), np.repeat(hot, 400)])
    noise = {
        "t_us": rng.integers(1, length_us, len(pixel)),
        "x": (pixel % 128).astype(np.uint16),
        "y": (pixel // 128).astype(np.uint16),
        "polarity": rng.random(len(pixel)) < 0.5,
    }
    joined = {name: np.concatenate([signal[name], noise[name]]) for name in fields}
    order = np.argsort(joined["t_us"], kind="stable")
    is_signal = np.arange(len(order)) < len(signal["t_us"])
    ordered: dict[str, Any] = {name: values[order] for name, values in joined.items()}
    # No two events at one time: a time is then the name of an event.
    number = np.arange(len(order))
    ordered["t_us"] = np.maximum.accumulate(ordered["t_us"] - number) + number
    return EventStream.from_arrays(**ordered, width=128, height=96), is_signal[order]


def signal_and_noise() -> None:
    """Print what filters keep of labelled signal and noise."""
    from evlora.recordings import Recording
    from evlora.recordings.filters import filtered

    chains = (
        ["background_activity:window_us=1000"],
        ["background_activity:window_us=5000"],
        ["background_activity:window_us=20000"],
        ["refractory_period:period_us=1000"],
        ["hot_pixels"],
        ["hot_pixels", "background_activity:window_us=5000"],
    )
    for noise_hz in (1, 5, 20):
        events, is_signal = labelled(noise_hz=noise_hz)
        for chain in chains:
            kept = filtered(Recording(events, None, "made"), chain).events
            assert kept is not None
            mask = np.isin(events.t_us, kept.t_us)
            print(
                f"| {noise_hz} | {', '.join(chain)} | {mask[is_signal].mean():.1%} | "
                f"{1 - mask[~is_signal].mean():.1%} |"
            )


def real_files(data: Path) -> None:
    """Print what filters keep of real recordings."""
    from evlora.recordings import Recording
    from evlora.recordings.filters import filtered, find_hot_pixels

    for name, events in real_events(data):
        shares: list[str] = []
        for text in ("background_activity", "refractory_period", "hot_pixels"):
            kept = filtered(Recording(events, None, "made"), [text]).events
            assert kept is not None
            shares.append(f"{len(kept) / len(events):.1%}")
        hot = int(find_hot_pixels(events).sum())
        print(f"| {name} | {len(events):,} | {' | '.join(shares)} | {hot} |", flush=True)


def real_events(data: Path) -> list[tuple[str, Any]]:
    """Real recordings by the name of their file, at most 400,000 events of each."""
    from evlora.recordings import open_recording

    paths = sorted(p for p in (data / "recordings").rglob("*") if p.is_file())
    found: list[tuple[str, Any]] = []
    for path in paths:
        if path.suffix.lower() in (".md", ".txt", ".csv", ".json"):
            continue
        events = open_recording(path).events
        if events is not None and len(events) > 1:
            found.append((path.name, events.part(slice(0, 400_000))))
    return found


def main() -> None:
    """Run one part."""
    if sys.argv[1] == "peer":
        name, path, width, height, out = sys.argv[2:]
        run_peer(name, Path(path), int(width), int(height), Path(out))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("table", "signal", "real"))
    parser.add_argument("--peers", type=Path, default=Path("peers"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    if given.part == "signal":
        signal_and_noise()
    elif given.part == "real":
        real_files(given.data)
    else:
        events, _ = labelled(noise_hz=20)
        compare(given.peers, "simulated", events)
        for name, one in real_events(given.data):
            compare(given.peers, name, one.part(slice(0, 100_000)))


if __name__ == "__main__":
    main()
