"""Tables and pictures in the layouts of other tools: further samples that the fuzz damages."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from recording_samples import HEIGHT, WIDTH, stream
from scipy.io import savemat


def v2e(path: Path) -> Path:
    events, path = stream(), path.with_suffix(".h5")
    rows = np.stack([events.t_us, events.x, events.y, events.polarity], 1).astype(np.uint32)
    with h5py.File(path, "w") as file:
        file.create_dataset("events", data=rows, maxshape=(None, 4), compression="gzip")
        file["frame"] = np.zeros((3, HEIGHT, WIDTH), np.uint8)
        file["frame_ts"] = np.array([0, 100, 200], np.uint32)
    return path


def matlab_struct(path: Path) -> Path:
    events, path = stream(), path.with_suffix(".mat")
    fields = {"ts": events.t_us, "x": events.x + 1.0, "y": events.y + 1.0}
    fields["p"] = events.polarity + 1.0
    savemat(path, {"a": {"TD": fields}, "sensor_size": [WIDTH, HEIGHT]}, oned_as="row")
    return path


def matlab_7_3(path: Path) -> Path:
    events, path = stream(), path.with_suffix(".mat")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in zip(
            "txyp", (events.t_us, events.x, events.y, events.polarity), strict=True
        ):
            file[f"events/{name}"] = values.astype(float)[None]
        file["width"], file["height"] = np.full((1, 1), WIDTH), np.full((1, 1), HEIGHT)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"
    path.write_bytes(text + path.read_bytes()[len(text) :])
    return path


def structured_npz(path: Path) -> Path:
    events, path = stream(), path.with_suffix(".npz")
    array = np.zeros(len(events), [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "i1")])
    array["t"], array["x"], array["y"], array["p"] = events.t_us, events.x, events.y, 1
    np.savez_compressed(path, event_data=array, width=WIDTH, height=HEIGHT)
    return path


def table_of_pandas(path: Path) -> Path:
    events, path = stream(), path.with_suffix(".csv")
    fields = zip(events.t_us, events.x, events.y, events.polarity, strict=True)
    lines = [f'"{n}",{t},{x},{y},{int(p)},noise' for n, (t, x, y, p) in enumerate(fields)]
    head = f'# resolution: {WIDTH}x{HEIGHT}\n"","time [us]","x","y","p","label"\n'
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def stack(path: Path) -> Path:
    path = path.with_suffix(".tif")
    pages = [Image.fromarray(np.full((48, 64), 1000 * n, np.uint16)) for n in range(5)]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return path


def animation(path: Path) -> Path:
    path = path.with_suffix(".webp")
    pages = [Image.new("RGB", (64, 48), (40 * n,) * 3) for n in range(5)]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40)
    return path


def deep_picture(path: Path) -> Path:
    path = path.with_suffix(".png")
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint16) << 6, (48, 1))).save(path)
    return path


TABLE_VARIANTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "v2e": ("hdf5", v2e),
    "matlab_struct": ("mat", matlab_struct),
    "matlab_7_3": ("mat", matlab_7_3),
    "structured_npz": ("npz", structured_npz),
    "table_of_pandas": ("text", table_of_pandas),
    "stack": ("images", stack),
    "animation": ("images", animation),
    "deep_picture": ("images", deep_picture),
}
"""Name → its format, and what writes it."""
