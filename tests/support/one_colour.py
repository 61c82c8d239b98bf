"""Pictures of one colour each, as a dataset."""

from pathlib import Path

from PIL import Image

from evlora.datasets import prepare


def prepared_pictures(folder: Path, count: int) -> Path:
    """A prepared dataset of pictures of one colour: small files of many pixels."""
    for number in range(count):
        place = folder / "pictures" / ("train" if number % 4 else "test") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 80), (number % 256, 90, 200)).save(place / f"{number}.webp")
    prepare("image_folder", folder / "pictures", folder / "dataset")
    return folder / "dataset"
