"""Files and text that others made: plain, bounded, and read without surprises."""

import os
import socket
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

from evlora.errors import BundleError, DatasetError, EvloraError, RecipeError, RecordingError
from evlora.untrusted import SHORT_BYTES, label_fault, parse_json, plain, read_text
from evlora.untrusted_yaml import parse_yaml

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcd", "bcde", strict=True)
)
"""300 characters that stand for 100,000 values."""


@pytest.fixture
def special_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # a socket's whole path may be too long
    server.bind("socket")
    os.chdir(here)
    yield {"a pipe": tmp_path / "pipe", "a socket": tmp_path / "socket", "a device": "/dev/zero"}
    server.close()


def test_pipes_devices_and_sockets_are_refused_before_they_are_opened(special_files):
    for kind, path in special_files.items():
        with pytest.raises(DatasetError, match=f"expected a file or a folder, got {kind}"):
            plain(path, DatasetError)


def test_files_folders_and_what_is_missing_are_handed_back(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "missing"):
        assert plain(path, EvloraError) is path


@pytest.mark.parametrize(
    ("name", "reason"), [("a" * 5000, "File name too long"), ("a\0b", "with a zero byte")]
)
def test_names_that_no_file_can_have_are_refused_by_name(name, reason):
    with pytest.raises(EvloraError, match=reason) as refused:
        plain(name, EvloraError)
    assert len(str(refused.value)) < 200


def test_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "link")

    with pytest.raises(EvloraError, match="symbolic links"):
        plain(tmp_path / "link", EvloraError)


def test_text_is_bounded_and_of_the_encoding_that_is_expected(tmp_path, monkeypatch):
    path = tmp_path / "text"
    path.write_bytes("a\ufeffä".encode())
    assert read_text(path, EvloraError) == "a\ufeffä"
    path.write_bytes(b"ab\xff")
    with pytest.raises(EvloraError, match="got byte 2 of another encoding"):
        read_text(path, EvloraError)
    monkeypatch.setenv("EVLORA_LIMITS", "index_bytes=2")
    with pytest.raises(EvloraError, match=r"at most 2 bytes, got more; .*index_bytes=NUMBER"):
        read_text(path, EvloraError)
    with pytest.raises(RecipeError, match="could not be read"):
        read_text(tmp_path / "missing", RecipeError)


def test_yaml_whose_names_stand_for_too_much_is_refused_at_once():
    begun = time.perf_counter()
    with pytest.raises(yaml.YAMLError, match="at most 10,000 keys and values"):
        parse_yaml(ALIASES)
    assert time.perf_counter() - begun < 2


def test_yaml_with_names_is_read_within_the_limits():
    assert parse_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 100, r"levels|nested|expected"),
        ("[" * 200 + "]" * 200, r"levels|nested"),
        ("a: " + "[" * 20_000, "too many brackets"),
        ("a: &a [*a]", "holds itself"),
        ("a: " + "1" * 5000, r"digits\) for integer string conversion: value has 5000 digits$"),
        ("a: 2026-13-45", "month must be in"),
        ("a: !!int abc", "invalid literal"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("#" * 300_000, "at most 262,144 characters"),
    ],
)
def test_yaml_that_is_none_is_a_yaml_error_and_nothing_else(text, reason):
    with pytest.raises(yaml.YAMLError, match=reason):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "nothing"])
def test_json_that_is_none_is_a_value_error_and_nothing_else(text):
    with pytest.raises(ValueError, match=r"nested|digits|Expecting") as refused:
        parse_json(text)
    assert "set_int_max_str_digits" not in str(refused.value)


def test_labels_are_bounded_in_number_and_length_and_are_text(monkeypatch):
    assert label_fault(["cat", "Bär", "猫"]) == ""
    assert "expected names of at most 1,000 characters" in label_fault(["a" * 1001])
    assert "expected names in UTF-8, got 'a\\udcff'" in label_fault(["a\udcff"])
    monkeypatch.setenv("EVLORA_LIMITS", "labels=2")
    assert "expected at most 2 labels, got 3" in label_fault(["a", "b", "c"])


def test_every_border_refuses_a_pipe_at_once(tmp_path):
    import evlora
    from evlora.datasets import prepare
    from evlora.models.published import read_published_checkpoint
    from evlora.recipe import load_recipe
    from evlora.training.checkpoints import read_checkpoint

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("config.json", "index.csv", "frame.png", "dataset.json"):
        os.mkfifo(folder / name)
    opened = {
        "recording": (lambda: evlora.open_recording(pipe), RecordingError),
        "picture": (lambda: evlora.open_recording(folder / "frame.png"), RecordingError),
        "recipe": (lambda: load_recipe(pipe), RecipeError),
        "bundle": (lambda: evlora.load_bundle(pipe), BundleError),
        "description": (lambda: evlora.load_bundle(folder), BundleError),
        "table": (lambda: prepare("csv", folder, tmp_path / "out"), DatasetError),
        "checkpoint": (lambda: read_checkpoint(pipe), EvloraError),
        "published": (lambda: read_published_checkpoint(pipe), EvloraError),
    }
    for open_it, kind in opened.values():
        with pytest.raises(kind):
            open_it()


def test_text_takes_the_memory_of_its_length_and_not_of_the_limit(tmp_path: Path) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_text("a")
    long.write_text("ab" * SHORT_BYTES)
    tracemalloc.start()
    assert read_text(short, EvloraError) == "a"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * SHORT_BYTES
    assert read_text(long, EvloraError) == "ab" * SHORT_BYTES
    assert read_text(long, EvloraError, most_bytes=2 * SHORT_BYTES) == "ab" * SHORT_BYTES
    with pytest.raises(EvloraError, match="expected text of at most"):
        read_text(long, EvloraError, most_bytes=2 * SHORT_BYTES - 1)
    with pytest.raises(EvloraError, match="expected text of at most"):
        read_text(long, EvloraError, most_bytes=SHORT_BYTES - 1)
