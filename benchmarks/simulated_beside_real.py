"""A simulated clip beside a real one: an N-MNIST digit, and its picture moved as the camera moved.

    python benchmarks/simulated_beside_real.py nmnist_paired docs/images/simulated.png

N-MNIST was recorded by an ATIS that made three movements before a still digit on a screen. Here
the digit's own picture is moved along the same triangle and shown to the simulator. Three things
are taken from the real data: the corners and times of the path, read off the mean position of the
events of 400 recordings; one number for both thresholds, chosen so that simulated recordings have
about as many events as real ones; and the digit is dark on a light ground, because the real
polarities are those of such a digit. Nothing is fitted to the recording shown.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings import EventStream, open_recording
from evlora.recordings.frames import read_image
from evlora.recordings.rendering import draw_events
from evlora.recordings.representations import polarity_counts
from evlora.recordings.simulator import EventSimulator, SensorModel
from evlora.recordings.video_events import join_streams

SIDE = 34
CORNERS = np.array([[14.2, 15.9], [16.3, 20.2], [19.5, 15.7], [15.3, 15.3]])
"""Where the digit's middle lies before, between and after the movements, in pixels x, y."""
MOVEMENTS_MS = ((5, 85), (105, 195), (222, 292))
DURATION_MS = 310
SENSOR = SensorModel(positive_threshold=0.33, negative_threshold=0.33, dark_level=25)
WINDOWS_MS = ((30, 60), (135, 165), (240, 270))
RATE_MS = 5


def main() -> None:
    """Simulate some digits, compare, and draw the first of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="the folder with index.csv")
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("--digits", type=int, default=50)
    parser.add_argument("--shown", type=int, default=0)
    options = parser.parse_args()
    with (options.data / "index.csv").open() as file:
        rows = list(csv.DictReader(file))[-options.digits :]
    pairs: list[tuple[EventStream, EventStream]] = []
    for row in rows:
        real = open_recording(options.data / row["events"]).events
        assert real is not None
        pairs.append((real, simulated(255 - read_image(options.data / row["frame"])[..., 0])))
    print(report(pairs))
    draw(*pairs[options.shown], options.out)


def simulated(digit: Any) -> EventStream:
    """The events of a dark digit, shape (28, 28), that moves along the path."""
    simulator = EventSimulator(width=SIDE, height=SIDE, sensor=SENSOR)
    return join_streams(
        simulator.push(moved(digit, middle_at(ms)), 1000 * ms) for ms in range(DURATION_MS)
    )


def middle_at(ms: float) -> Any:
    """Where the digit's middle lies: each movement begins and ends gently."""
    middle = CORNERS[0]
    for (start, end), before, after in zip(MOVEMENTS_MS, CORNERS[:-1], CORNERS[1:], strict=True):
        done = np.clip((ms - start) / (end - start), 0, 1)
        middle = middle + (after - before) * (1 - np.cos(np.pi * done)) / 2
    return middle


def moved(digit: Any, middle: Any) -> Any:
    """The digit on a light picture of the sensor's size, its centre of mass at `middle`."""
    rows, columns = np.mgrid[: digit.shape[0], : digit.shape[1]]
    ink = 255.0 - digit
    mass = np.array([(columns * ink).sum(), (rows * ink).sum()]) / ink.sum()
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    x, y = x - middle[0] + mass[0], y - middle[1] + mass[1]
    padded = np.pad(digit.astype(float), SIDE, constant_values=255)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = x - left, y - top
    picture = np.zeros((SIDE, SIDE))
    for down, share_y in ((0, 1 - below), (1, below)):
        for across, share_x in ((0, 1 - right), (1, right)):
            picture += share_y * share_x * padded[top + down + SIDE, left + across + SIDE]
    return picture


def report(pairs: list[tuple[EventStream, EventStream]]) -> str:
    counts = np.array([[len(real), len(made)] for real, made in pairs])
    ons = np.array([[stream.polarity.mean() for stream in pair] for pair in pairs]).mean(axis=0)
    correlations = [np.corrcoef(rates(real), rates(made))[0, 1] for real, made in pairs]
    activity = [np.corrcoef(per_pixel(real), per_pixel(made))[0, 1] for real, made in pairs]
    signs = [np.corrcoef(signed(real), signed(made))[0, 1] for real, made in pairs]
    return "\n".join(
        [
            f"{len(pairs)} digits",
            f"events, mean: {counts[:, 0].mean():.0f} real, {counts[:, 1].mean():.0f} simulated",
            f"correlation of the counts over the digits: {np.corrcoef(counts.T)[0, 1]:.2f}",
            f"share of ON: {ons[0]:.2f} real, {ons[1]:.2f} simulated",
            f"correlation of the rate over time, {RATE_MS} ms: {np.mean(correlations):.2f}",
            f"correlation of the events per pixel: {np.mean(activity):.2f}",
            f"correlation of ON − OFF per pixel in the windows drawn: {np.mean(signs):.2f}",
        ]
    )


def rates(events: EventStream) -> Any:
    edges = np.arange(0, DURATION_MS + RATE_MS, RATE_MS) * 1000
    return np.histogram(events.t_us, edges)[0] / RATE_MS


def per_pixel(events: EventStream) -> Any:
    return np.bincount(events.y.astype(int) * SIDE + events.x, minlength=SIDE * SIDE)


def signed(events: EventStream) -> Any:
    """ON minus OFF events of each pixel in each of the windows."""
    windows = 1000 * np.array(WINDOWS_MS)
    counts = polarity_counts(events, windows)
    return (counts[:, 1] - counts[:, 0]).reshape(-1)


def draw(real: EventStream, made: EventStream, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.6), layout="constrained")
    grid = figure.add_gridspec(3, len(WINDOWS_MS), height_ratios=[2, 2, 1.3])
    for row, (name, events) in enumerate((("real", real), ("simulated", made))):
        for column, (start, end) in enumerate(WINDOWS_MS):
            axes = figure.add_subplot(grid[row, column])
            picture = draw_events(events, start_us=1000 * start, end_us=1000 * end)
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(f"{name}, {start}…{end} ms", fontsize="medium")
            axes.set_xticks([])
            axes.set_yticks([])
    axes = figure.add_subplot(grid[2, :])
    for name, events, style in (("real", real, "-"), ("simulated", made, "--")):
        steps = np.arange(0, DURATION_MS, RATE_MS)
        axes.plot(steps, rates(events), style, color="k", label=f"{name}, {len(events):,} events")
    axes.set_xlabel("ms")
    axes.set_ylabel("thousand events / s")
    axes.legend(fontsize="small")
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main()
