"""The formats of the decoding benchmark: how each is written, and which other libraries read it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evlora.recordings import EventStream, Recording
from evlora.recordings.writers import write_recording

WIDTH, HEIGHT = 640, 480


class Fields(NamedTuple):
    """What a library decoded, one array per field."""

    t_us: Any
    x: Any
    y: Any
    polarity: Any


def formats() -> dict[str, tuple[str, Callable[[Path, EventStream], None], Mapping[str, Any]]]:
    """Name → suffix, how to write it, and the other libraries that read it."""
    wizards = {kind: by_expelliarmus(kind) for kind in ("evt2", "evt3", "dat")}
    return {
        "aedat4": (".aedat4", write_faery(None), {"faery": by_faery, "tonic": by_tonic_aedat4}),
        "evt2": (".raw", write_ours("evt2"), {"faery": by_faery, **wizards["evt2"]}),
        "evt2.1": (".raw", write_evt21, {}),  # faery names it, but has no decoder for it
        "evt3": (".raw", write_ours("evt3"), {"faery": by_faery, **wizards["evt3"]}),
        "dat": (".dat", write_faery("dat2"), {"faery": by_faery, **wizards["dat"]}),
        "es": (".es", write_ours("es"), {"faery": by_faery}),
        "nmnist": (".bin", write_nmnist, {"tonic": by_tonic_nmnist}),
        "hdf5": (".h5", write_ours("hdf5"), {"h5py alone": by_h5py}),
        "npz": (".npz", write_ours("npz"), {"numpy alone": by_npz}),
        "npy": (".npy", write_npy, {"numpy alone": by_npy}),
        "text": (".csv", write_plain_csv, {"faery": by_faery_csv}),
    }


def write_ours(format: str) -> Callable[[Path, EventStream], None]:
    return lambda path, events: write_recording(Recording(events, None, "made"), path, format)


def write_faery(version: Any) -> Callable[[Path, EventStream], None]:
    import faery

    def write(path: Path, events: EventStream) -> None:
        array = structured(events, faery.EVENTS_DTYPE, polarity="on")
        stream = faery.events_stream_from_array(array, (events.width, events.height))
        stream.to_file(path, version=version, zero_t0=False)

    return write


def write_evt21(path: Path, events: EventStream) -> None:
    """One event a word, which no camera would do: real files have fewer words and read faster."""
    fields = (events.t_us & 63, events.x & 0xFFE0, events.y)
    time_low, column, row = (values.astype(np.uint64) for values in fields)
    word = events.polarity.astype(np.uint64) << 60 | time_low << 54 | column << 43 | row << 32
    word |= np.uint64(1) << (events.x & 31).astype(np.uint64)
    high = (events.t_us >> 6).astype(np.uint64)
    starts = np.flatnonzero(np.diff(high, prepend=high[:1] + np.uint64(1)))
    words = np.insert(word, starts, np.uint64(8) << 60 | high[starts] << 32)
    size = f"width={events.width};height={events.height}"
    header = f"% evt 2.1\n% format EVT21;endianness=little;{size}\n% end\n"
    path.write_bytes(header.encode() + words.astype("<u8").tobytes())


def write_nmnist(path: Path, events: EventStream) -> None:
    packed = events.polarity.astype(np.int64) << 23 | events.t_us & 0x7FFFFF
    columns = (events.x, events.y, packed >> 16, packed >> 8 & 0xFF, packed & 0xFF)
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


def write_plain_csv(path: Path, events: EventStream) -> None:
    """A header line and nothing else that only evlora understands."""
    write_recording(Recording(events, None, "made"), path, "text")
    _, _, content = path.read_bytes().partition(b"\n")
    path.write_bytes(content)


def write_npy(path: Path, events: EventStream) -> None:
    np.save(path, structured(events, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]))


def structured(events: EventStream, dtype: Any, *, polarity: str = "p") -> Any:
    array = np.empty(len(events), dtype)
    array["t"], array["x"], array["y"] = events.t_us, events.x, events.y
    array[polarity] = events.polarity
    return array


def by_faery(path: Path) -> Fields:
    import faery

    array = faery.events_stream_from_file(path).to_array()
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_faery_csv(path: Path) -> Fields:
    import faery

    array = faery.events_stream_from_file(path, dimensions_fallback=(WIDTH, HEIGHT)).to_array()
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_expelliarmus(encoding: str) -> Mapping[str, Callable[[Path], Fields]]:
    try:
        from expelliarmus import Wizard
    except ImportError:
        return {}

    def read(path: Path) -> Fields:
        array = Wizard(encoding=encoding).read(path)
        return Fields(array["t"], array["x"], array["y"], array["p"])

    return {"expelliarmus": read}


def by_tonic_aedat4(path: Path) -> Fields:
    import tonic

    array = tonic.io.read_aedat4(str(path))
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_tonic_nmnist(path: Path) -> Fields:
    import tonic

    array = tonic.io.read_mnist_file(str(path), dtype=tonic.io.events_struct)
    return Fields(array["t"], array["x"], array["y"], array["p"])


def by_h5py(path: Path) -> Fields:
    import h5py

    with h5py.File(path) as file:
        group = file["events"]
        return Fields(group["t"][:], group["x"][:], group["y"][:], group["p"][:].astype(bool))


def by_npz(path: Path) -> Fields:
    with np.load(path) as arrays:
        return Fields(arrays["t"], arrays["x"], arrays["y"], arrays["p"])


def by_npy(path: Path) -> Fields:
    array = np.load(path)
    return Fields(*(np.ascontiguousarray(array[name]) for name in "txyp"))
