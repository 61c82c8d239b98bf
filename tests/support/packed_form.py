"""Packing for tests of the reading side: by litdata itself, with as many clips a chunk as asked."""

from dataclasses import replace
from pathlib import Path

from litdata.streaming.writer import BinaryWriter

from evlora.clips import ClipConfig
from evlora.datasets import Manifest
from evlora.datasets.dataset import open_sample
from evlora.datasets.rendering import CODEC_VERSION, PackedAbout, Rendering
from evlora.datasets.storage import write_manifest
from evlora.packing.codec import encode


def pack(
    manifest: Manifest, config: ClipConfig, folder: Path, *, clips_a_chunk: int = 7
) -> Manifest:
    """The manifest of a packed dataset in this folder, which is made."""
    number = {label: n for n, label in enumerate(manifest.labels)}
    for split in manifest.splits:
        writer = BinaryWriter(str(folder / split), chunk_size=clips_a_chunk)
        for n, sample in enumerate(manifest.split(split)):
            recording = open_sample(sample, manifest.source)
            writer[n] = encode(recording, config, sample=sample.sample, label=number[sample.label])
        writer.done()
        writer.merge()
    about = PackedAbout(
        codec=CODEC_VERSION,
        rendering=Rendering.of(config),
        items=manifest.counts,
        compression="zstd",
        rejected=0,
        evlora="test",
    )
    packed = replace(manifest, source=folder, packed=about)
    write_manifest(replace(packed, source=manifest.source), folder)
    return packed
