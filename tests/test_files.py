"""Writing without leaving halves."""

from pathlib import Path

import pytest

from evlora.files import writing_file, writing_folder


def test_a_file_has_its_name_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    with writing_file(target) as temporary:
        temporary.write_text("done")
        assert not target.exists()
    assert target.read_text() == "done"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), writing_file(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_folder_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ZeroDivisionError), writing_folder(target) as temporary:
        (temporary / "half").touch()
        raise ZeroDivisionError
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_written_can_be_read_by_all_whom_the_umask_lets(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with writing_file(tmp_path / "file") as temporary:
        temporary.touch()
    with writing_folder(tmp_path / "folder") as temporary:
        (temporary / "private").touch(mode=0o600)
    for path in (tmp_path / "file", tmp_path / "folder" / "private"):
        assert path.stat().st_mode == plain.stat().st_mode


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with writing_folder(target) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
