from pathlib import Path

from PIL import Image

from evlora.pretraining.scenes import make_views
from evlora.pretraining.sheet import GAP_PX, TILE_PX, VIEWS, draw_sheet


def test_the_sheet_shows_the_first_figures_of_the_run(tmp_path: Path) -> None:
    draw_sheet(tmp_path / "sheet.png", rows=2)

    with Image.open(tmp_path / "sheet.png") as sheet:
        second = (TILE_PX + GAP_PX, 0, 2 * TILE_PX + GAP_PX, TILE_PX)
        shown = sheet.crop(second).tobytes()
    assert shown == make_views(0, 0, size_px=TILE_PX, views=VIEWS).images[0].tobytes()
