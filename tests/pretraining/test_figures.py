import numpy as np
import pytest

from evlora.pretraining.figures import GLYPH_PX, Drawing, Pose, draw_figure, draw_pose, glyph_of

UPRIGHT = Pose(
    centre=(0.5, 0.5),
    scale=0.3,
    rotation=0.0,
    shear=0.0,
    aspect=1.0,
    bend=(0.0, 1.0, 0.0),
    stroke=0.05,
)


@pytest.mark.parametrize("seed", range(20))
def test_a_figure_is_centred_and_reaches_one(seed: int) -> None:
    points = np.concatenate(draw_figure(np.random.default_rng(seed)).lines)

    low, high = points.min(axis=0), points.max(axis=0)
    assert np.allclose(low + high, 0)
    assert (high - low).max() == pytest.approx(2)


@pytest.mark.parametrize("seed", range(20))
def test_a_glyph_shows_its_figure(seed: int) -> None:
    glyph = glyph_of(draw_figure(np.random.default_rng(seed)))

    assert glyph.shape == (GLYPH_PX, GLYPH_PX)
    assert glyph.min() == 0
    assert glyph.max() == 1


def test_figures_of_different_lots_look_different() -> None:
    glyphs = [glyph_of(draw_figure(np.random.default_rng(seed))) for seed in range(50)]

    assert len({glyph.tobytes() for glyph in glyphs}) == 50


def test_an_upright_drawing_is_the_glyph_enlarged() -> None:
    figure = draw_figure(np.random.default_rng(3))
    mask = Drawing(figure, UPRIGHT, size_px=64, margin_px=4).mask()

    covered = np.argwhere(mask > 0.5)
    middle = (covered.min(axis=0) + covered.max(axis=0)) / 2
    assert np.allclose(middle, 31.5, atol=2)
    assert covered.max() - covered.min() == pytest.approx(2 * 0.3 * 64, abs=6)


def test_a_shift_moves_the_drawing_by_as_many_columns_and_rows() -> None:
    generator = np.random.default_rng(5)
    drawing = Drawing(draw_figure(generator), draw_pose(generator), size_px=48, margin_px=6)

    still, moved = drawing.mask(), drawing.mask((3.0, -2.0))

    assert still.any()
    assert np.array_equal(moved[:-2, 3:], still[2:, :-3])


def test_an_edge_between_two_pixels_covers_half_of_one() -> None:
    drawing = Drawing(draw_figure(np.random.default_rng(3)), UPRIGHT, size_px=64, margin_px=2)

    assert not np.array_equal(drawing.mask((0.5, 0.0)), drawing.mask())
