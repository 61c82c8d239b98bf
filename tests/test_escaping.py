import csv
import io
import json

import pytest

from evlora.escaping import cell, in_figure, in_line, markdown, of_cell, printable

RED_AND_CLEARED = "\x1b[31mred\x1b[2J\x07\x9b31m"


def test_controls_are_shown_on_a_terminal_and_not_obeyed():
    assert printable(RED_AND_CLEARED) == r"\u001b[31mred\u001b[2J\u0007\u009b31m"
    assert printable("right \u202eto left, \udcff") == r"right \u202eto left, \udcff"


def test_characters_that_show_nothing_are_shown_by_number():
    hidden = "a\u200bb\U000e0041\ue000"

    assert printable(hidden) == r"a\u200bb\udb40\udc41\ue000"
    assert json.loads(f'"{printable(hidden)}"') == hidden
    assert printable("क्\u200dष") == "क्\u200dष"  # joins letters in some languages


def test_plain_text_stays_as_it_is():
    text = "Bär 猫 a\tb\nc — ±1 🙂"

    assert printable(text) == text
    assert in_line(text) == text.replace("\t", r"\u0009").replace("\n", r"\u000a")


def test_json_stays_json_and_keeps_its_values():
    values = ["a\x7f", "\x9b", "\udcff", "Bär"]

    assert json.loads(printable(json.dumps(values, ensure_ascii=False))) == values


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "'", "'=1", "a", "", "it's"])
def test_cells_that_look_like_formulas_are_escaped_and_come_back(text):
    escaped = cell(text)

    assert not str(escaped).startswith(("=", "+", "-", "@", "\t"))
    assert of_cell(str(escaped)) == text
    assert next(csv.reader(io.StringIO(f'"{escaped}"'))) == [escaped]


def test_numbers_stay_numbers():
    assert [cell(value) for value in (-1.5, 0, None)] == [-1.5, 0, None]


def test_markdown_keeps_its_table_and_runs_nothing():
    assert markdown("a|b\n<script>") == r"a\|b\\u000a\<script\>"


def test_names_in_figures_are_no_mathematics():
    from matplotlib.figure import Figure

    label = "$\\frac{x$ costs $5 " + "long " * 100
    figure = Figure()
    text = figure.text(0, 0, in_figure(label))
    figure.canvas.draw()

    assert len(text.get_text()) < 100
    assert in_figure("$x$") == r"\$x\$"
