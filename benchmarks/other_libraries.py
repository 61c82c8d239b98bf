"""How other libraries read recordings; runs in an environment of its own, without the others.

`decoding.py` starts one such process for each library and lets them take turns: every line on its
input is one reading, answered by a line of JSON with the times it took.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WIDTH, HEIGHT = 640, 480


class Fields(NamedTuple):
    """What a library decoded, one array per field."""

    t_us: Any
    x: Any
    y: Any
    polarity: Any


Read = Callable[[Path], Fields]


def main(library: str, format: str, path: str, written: str) -> None:
    """Read the file once for each line of the input."""
    warnings.simplefilter("ignore")
    read = READERS[library][format]
    result = ""
    for _ in sys.stdin:
        answer: dict[str, float] = {}
        try:
            start, start_wall = time.process_time(), time.perf_counter()
            fields = read(Path(path))
            answer["processor_s"] = time.process_time() - start
            answer["wall_s"] = time.perf_counter() - start_wall
            result = result or verdict(fields, written)
            if result.startswith("right"):
                start = time.process_time()
                if library != "evlora":
                    checked(fields)
                answer["checked_s"] = answer["processor_s"] + time.process_time() - start
        except BaseException as error:
            result = f"error: {error}"
        print(json.dumps({**answer, "result": result}), flush=True)


def checked(fields: Fields) -> Fields:
    """What evlora gives: one array per field, every event inside the sensor, times in order.

    Raises:
        ValueError: An event lies outside the sensor, or time runs backwards.
    """
    whole = Fields(
        np.ascontiguousarray(fields.t_us).astype(np.int64, copy=False),
        np.ascontiguousarray(fields.x).astype(np.uint16, copy=False),
        np.ascontiguousarray(fields.y).astype(np.uint16, copy=False),
        fields.polarity if fields.polarity.dtype == np.bool_ else fields.polarity > 0,
    )
    if int(whole.x.max()) >= WIDTH or int(whole.y.max()) >= HEIGHT:
        raise ValueError("events outside the sensor")
    if (whole.t_us[1:] < whole.t_us[:-1]).any():
        raise ValueError("time runs backwards")
    return whole


def verdict(fields: Fields, written: str) -> str:
    """Whether these are the events that were written."""
    with np.load(written) as arrays:
        truth = Fields(arrays["t"], arrays["x"], arrays["y"], arrays["p"])
    if len(fields.t_us) != len(truth.t_us):
        return f"wrong: {len(fields.t_us):,} events"
    got = Fields(*(np.asarray(field) for field in fields[:3]), np.asarray(fields.polarity) > 0)
    wrong = [
        name
        for name, values, right in zip(Fields._fields, got, truth, strict=True)
        if not np.array_equal(values, right)
    ]
    if not wrong:
        return "right"
    if wrong == ["t_us"]:
        share = 100 * np.count_nonzero(got.t_us != truth.t_us) / len(truth.t_us)
        return f"wrong: {share:.1f} % of the times"
    if _in_one_order(got) == _in_one_order(truth):
        return "right, events of one time in another order"
    return f"wrong: {', '.join(wrong)}"


def _in_one_order(fields: Fields) -> bytes:
    order = np.lexsort(fields[::-1])
    return b"".join(np.asarray(field)[order].astype(np.int64).tobytes() for field in fields)


def by_evlora(path: Path) -> Fields:
    from evlora.recordings import open_recording

    events = open_recording(path, width=WIDTH, height=HEIGHT).events
    assert events is not None
    return Fields(events.t_us, events.x, events.y, events.polarity)


def by_evutils(path: Path) -> Fields:
    from evutils.io import EventReader

    events = EventReader(path).read_all()
    return Fields(events.t, events.x, events.y, events.p)


def by_evt3(path: Path) -> Fields:
    import evt3

    events = evt3.decode_file(str(path))
    return Fields(events.timestamp, events.x, events.y, events.polarity)


def by_faery(path: Path) -> Fields:
    import faery

    events = faery.events_stream_from_file(path).to_array()
    return Fields(events["t"], events["x"], events["y"], events["on"])


def by_faery_csv(path: Path) -> Fields:
    import dataclasses

    import faery

    usual = faery.events_stream_from_file.__defaults__[-1]
    plain = dataclasses.replace(usual, has_header=False)
    stream = faery.events_stream_from_file(
        path, dimensions_fallback=(WIDTH, HEIGHT), csv_properties=plain
    )
    events = stream.to_array()
    return Fields(events["t"], events["x"], events["y"], events["on"])


def by_eventcv(path: Path) -> Fields:
    import eventcv

    # Named, because it reads whole µs shorter than a second a thousand times too large otherwise.
    is_table = path.suffix in (".h5", ".csv")
    unit = {"time_unit": "microseconds"} if is_table else {}
    events = eventcv.load(str(path), sensor_size=(WIDTH, HEIGHT), **unit).numpy()
    return Fields(events[:, 2], events[:, 0], events[:, 1], events[:, 3])


def by_evlib(path: Path) -> Fields:
    import evlib

    events = evlib.load_events(str(path)).collect()
    t_us = events["t"].to_physical().to_numpy()
    return Fields(t_us, *(events[name].to_numpy() for name in ("x", "y", "polarity")))


def by_expelliarmus(encoding: str) -> Read:
    def read(path: Path) -> Fields:
        from expelliarmus import Wizard

        events = Wizard(encoding=encoding).read(path)
        return Fields(events["t"], events["x"], events["y"], events["p"])

    return read


def by_aedat(path: Path) -> Fields:
    import aedat

    packets = [packet["events"] for packet in aedat.Decoder(str(path)) if "events" in packet]
    events = np.concatenate(packets)
    return Fields(events["t"], events["x"], events["y"], events["on"])


def by_tonic_aedat4(path: Path) -> Fields:
    import tonic

    events = tonic.io.read_aedat4(str(path))
    return Fields(events["t"], events["x"], events["y"], events["on"])


def by_h5py(path: Path) -> Fields:
    import h5py

    with h5py.File(path) as file:
        group = file["events"]
        return Fields(group["t"][:], group["x"][:], group["y"][:], group["p"][:].astype(bool))


FORMATS = ("aedat4", "evt2", "evt2.1", "evt3", "evt3 vectors", "dat", "es", "hdf5", "npz", "text")

READERS: Mapping[str, Mapping[str, Read]] = {
    "evlora": dict.fromkeys(FORMATS, by_evlora),
    "evutils": dict.fromkeys(
        ("aedat4", "evt2", "evt2.1", "evt3", "evt3 vectors", "dat", "hdf5", "npz", "text"),
        by_evutils,
    ),
    "evt3": dict.fromkeys(("evt2", "evt3", "evt3 vectors"), by_evt3),
    "faery": {
        **dict.fromkeys(("aedat4", "evt2", "evt3", "evt3 vectors", "dat", "es"), by_faery),
        "text": by_faery_csv,
    },
    "eventcv": dict.fromkeys(
        ("aedat4", "evt2", "evt2.1", "evt3", "evt3 vectors", "dat", "hdf5", "text"), by_eventcv
    ),
    "evlib": dict.fromkeys(("aedat4", "evt2", "evt2.1", "evt3", "evt3 vectors", "hdf5"), by_evlib),
    "expelliarmus": {
        "evt2": by_expelliarmus("evt2"),
        "evt3": by_expelliarmus("evt3"),
        "evt3 vectors": by_expelliarmus("evt3"),
        "dat": by_expelliarmus("dat"),
    },
    "aedat": {"aedat4": by_aedat},
    "tonic": {"aedat4": by_tonic_aedat4},
    "h5py": {"hdf5": by_h5py},
}
"""Library → format → how it is read. evlora stands here too, so that all run in the same way."""


if __name__ == "__main__":
    main(*sys.argv[1:])
