"""What a person sees of the command: help, errors, exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Command

from evlora import __version__
from evlora.errors import RecipeError


def test_help_lists_every_verb_without_importing_torch() -> None:
    script = "import sys; sys.argv = ['evlora', '--help']\n"
    script += "from evlora.cli.main import run\n"
    script += "try: run()\nexcept SystemExit: pass\n"
    script += "print('heavy:', {'torch', 'numpy', 'yaml'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for verb in ("demo", "train", "evaluate", "predict", "profile", "prepare", "inspect"):
        assert f"  {verb} " in shown
    assert "heavy: set()" in shown
    listed = [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines() if line]
    assert listed[:6] == ["demo", "inspect", "prepare", "train", "evaluate", "predict"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "no_such_recipe"], "error: no_such_recipe: no such recipe"),
        (["train", "demo", "training.epoch=3"], "did you mean epochs?"),
        (["train", "demo"], "error: run.dir: expected a folder"),
        (["train", "demo", "run.dir=r", "data.root=nowhere"], "found no such folder; make one"),
        (["train", "demo", "run.dir=r", "data.root=/dev/null"], "found a file; make one with"),
        (["train", "demo", "run.dir=r", "data.root=/"], "evlora prepare LAYOUT / OUT"),
        (["train", "demo", "run.dir=r"], "set data.root=FOLDER"),
        (["train", "demo", "data.root=nowhere"], "set run.dir=FOLDER"),
        (["prepare", "no_such_layout", "a", "b"], "no layout is called 'no_such_layout'"),
        (["prepare", "csv", "nowhere", "out"], "expected a source that exists, got nowhere"),
        (["prepare", "csv", "out"], "give both: evlora prepare csv SOURCE OUT"),
        (["prepare", "csv", "a", "b", "c"], "expected SOURCE OUT"),
        (["evaluate", "nowhere", "nowhere"], "error: nowhere: expected a bundle"),
        (["predict", "nowhere", "nowhere.bs2"], "error: nowhere: expected a bundle"),
        (["profile", "demo", "backbone.name=vit_of_nobody"], "timm has no model 'vit_of_nobody'"),
        (["inspect", "nowhere.bs2"], "error: nowhere.bs2: no such file"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    words: list[str],
    message: str,
    evlora: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = evlora(*words)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") <= 3
    assert list(tmp_path.iterdir()) == []  # nothing was written


@pytest.mark.slow
def test_an_error_in_a_loader_process_is_one_message_too(
    evlora: Command, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(tiny_settings["data.root"], dataset)
    words = [f"{key}={json.dumps(value)}" for key, value in tiny_settings.items()]
    words += [f"data.root={dataset}", "data.workers=1"]
    (dataset / "recordings" / "train" / "00007.npz").write_bytes(b"no archive")
    source = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps({**source, "source": str(dataset)}))
    result = evlora("train", "demo", *words)
    assert result.returncode == 2
    assert "error: sample train/00007: " in result.stderr
    assert "evlora prepare with --check finds all such recordings" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_raises_instead_of_explaining(evlora: Command) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        evlora("--debug", "train", "no_such_recipe")


def test_the_installed_command_ends_with_exit_code_2() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "evlora", "train"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "Missing argument" in result.stderr


def test_the_main_job_from_end_to_end(
    evlora: Command,
    tiny_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """prepare, train, evaluate, predict and profile, as a person would type them."""
    dataset, run = tmp_path / "dataset", tmp_path / "run"
    made = evlora(
        "prepare",
        "generated",
        str(dataset),
        "train=40",
        "val=40",
        "test=40",
        "size_px=32",
        "frames=3",
        "duration_ms=60",
    )
    assert made.returncode == 0, made.stderr
    assert "40 classes; dataset:" in made.stdout

    settings = {**tiny_settings, "data.root": str(dataset), "run.dir": str(run)}
    settings["training.epochs"] = 1
    words = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    trained = evlora("train", "demo", *words)
    assert trained.returncode == 0, trained.stderr
    assert "epoch   1/1" in trained.stdout
    assert f"bundle: {run / 'bundle'}" in trained.stdout

    scored = evlora("evaluate", str(run / "bundle"), str(dataset), "--split", "test", "--json")
    figures = json.loads(scored.stdout)
    assert list(figures)[:7] == ["top1", "top5", "macro", "samples", "split", "ece", "per_class"]
    assert figures["samples"] == 40
    assert 0 <= figures["top1"] <= figures["top5"] <= 1

    recording = next((dataset / "recordings" / "test").glob("*.npz"))
    ranked = evlora("predict", str(run / "bundle"), str(recording), "--json", "--top", "40")
    answers = json.loads(ranked.stdout)
    assert len(answers) == 40
    assert sum(answer["probability"] for answer in answers) == pytest.approx(1, abs=1e-4)
    assert answers == sorted(answers, key=lambda answer: -answer["probability"])

    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()  # as `make demo` leaves it, of the same name as the recipe
    shown = evlora("profile", "demo", *words, "--classes", "40", "--json")
    assert json.loads(shown.stdout)["parameters"]["trained"] > 0


def test_the_version_is_printed(evlora: Command) -> None:
    assert evlora("--version").stdout == f"evlora {__version__}\n"


def test_every_line_of_help_fits_80_columns(evlora: Command) -> None:
    shown = evlora("--help").stdout
    assert "--debug" in shown
    verbs = shown.partition("Commands:")[2].splitlines()
    cut = [line for line in verbs if line.endswith("...")]
    assert not cut  # typer cuts what does not fit


@pytest.mark.parametrize(
    ("verb", "names"), [("train", {"demo", "ablations/rank_8"}), ("compare", {"lora", "vpt"})]
)
def test_a_list_shows_what_a_verb_can_be_given(verb: str, names: set[str], evlora: Command) -> None:
    result = evlora(verb, "--list")
    assert result.returncode == 0
    assert names <= {line.split()[0] for line in result.stdout.splitlines()}


def test_the_help_of_training_and_preparing_shows_a_whole_command(evlora: Command) -> None:
    for verb, example in {
        "train": "`evlora train own_recordings data.root=DATASET run.dir=RUN`",
        "prepare": "`evlora prepare class_tree RECORDINGS DATASET`",
    }.items():
        assert example in " ".join(evlora(verb, "--help").stdout.split())


def test_a_device_that_is_not_there_is_one_message(evlora: Command, tiny_bundle: Path) -> None:
    for name in ("gpu", "meta"):
        result = evlora("evaluate", tiny_bundle, "nowhere", "--device", name)
        assert result.returncode == 2
        assert "expected auto, cpu, cuda or cuda:N" in result.stderr
        assert len(result.stderr) < 200


@pytest.mark.parametrize("words", [["predict"], ["predictt"], ["train", "demo", "--resum"]])
def test_of_several_processes_the_first_alone_reports_words_that_are_wrong(
    words: list[str], evlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank, code, lines in (("0", 2, 4), ("1", 0, 0)):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        result = evlora(*words)
        assert (result.returncode, len(result.stderr.splitlines())) == (code, lines)


@pytest.mark.parametrize("verb", ["train", "compare", "search", "robustness"])
def test_of_each_machine_one_process_reports_a_mistake_that_all_share(
    verb: str, evlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["robustness", "nowhere", "d", "--out", "o"]
    words = words if verb == "robustness" else [verb, "demo", "training.epoch=1"]
    for rank, local_rank, code in (("0", "0", 2), ("1", "1", 0), ("2", "0", 2)):
        for name, value in {"RANK": rank, "LOCAL_RANK": local_rank, "WORLD_SIZE": "4"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        result = evlora(*words)
        assert (result.returncode, result.stderr.count("error: ")) == (code, int(code == 2))
