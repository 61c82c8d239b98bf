"""`evlora robustness` and `evaluate --corrupt`."""

import json
from pathlib import Path

import pytest
from command import Command

from evlora.clips import ClipConfig, make_clip
from evlora.datasets import ClipDataset, read_manifest
from evlora.evaluation import robustness


@pytest.mark.slow
def test_the_table_is_written_and_resumed(
    evlora: Command,
    bundle: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[str] = []
    real = robustness.evaluate

    def counting(*given, **options):
        measured.append(options["corruption"] or "clean")
        return real(*given, **options)

    monkeypatch.setattr(robustness, "evaluate", counting)
    out = tmp_path / "table"
    words = ("robustness", bundle, tiny_dataset, "--out", out, "--without", "rgb")
    first = evlora(*words, "--corruption", "dead_half", "--strength", 2)
    assert first.returncode == 0, first.stderr
    assert measured == ["clean", "dead_half:2"]

    both = ("--corruption", "dead_half", "--corruption", "flicker", "--strength", 2)
    second = evlora(*words, *both, "--json")

    assert second.returncode == 0, second.stderr
    assert measured == ["clean", "dead_half:2", "flicker:2"]
    content = json.loads(second.stdout)
    assert [row["corruption"] for row in content["rows"]] == ["clean", "dead_half", "flicker"]
    assert {row["shown"] for row in content["rows"]} == {"event"}
    assert content["summary"]["event"]["clean"] == content["rows"][0]["top1"]
    assert (out / "corruptions.png").is_file()
    assert len((out / "corruptions.csv").read_text().splitlines()) == 4
    other = evlora(*words, "--split", "val")
    assert other.returncode == 2
    assert "measured with another split; name another folder" in other.stderr

    page = tmp_path / "page.html"
    report = ("report", bundle, tiny_dataset, "--clips", 0, "--out", page, "--faults")
    assert evlora(*report, out).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "<h2>Faults</h2>" in text
    assert f"{content['summary']['event']['mean']:.1%}" in text
    nothing = evlora(*report, tmp_path)
    assert nothing.returncode == 2
    assert "expected corruptions.json, which `evlora robustness" in nothing.stderr


@pytest.mark.slow
def test_an_evaluation_with_a_fault_names_it(
    evlora: Command, bundle: Path, tiny_dataset: Path
) -> None:
    words = ("evaluate", bundle, tiny_dataset, "--json", "--corrupt")
    wrong = evlora(*words, "hot_pixel:3")
    assert wrong.returncode == 2
    assert "did you mean hot_pixels" in wrong.stderr
    done = evlora(*words, "frames_lost:5")
    assert json.loads(done.stdout)["corruption"] == "frames_lost:5"


def test_clips_show_the_fault_and_pass_the_filters(tiny_dataset: Path) -> None:
    config = ClipConfig(frames=2, size=32)
    manifest = read_manifest(tiny_dataset)

    def clip(changed):
        return ClipDataset(manifest, "test", changed)[0]

    clean, hot = clip(config), clip(config.damaged_by("hot_pixels:5"))
    mended = clip(config.damaged_by("hot_pixels:5").model_copy(update={"filters": ("hot_pixels",)}))

    def distance(one) -> float:
        return float((one.events.float() - clean.events.float()).abs().mean())

    assert hot.rgb.equal(clean.rgb)
    assert 0 < distance(mended) < distance(hot) / 2


def test_training_draws_faults_for_a_share_of_its_clips(tiny_dataset: Path) -> None:
    from numpy.random import default_rng

    from evlora.datasets.opening import open_sample

    manifest = read_manifest(tiny_dataset)
    recording = open_sample(manifest.split("train")[0], manifest.source)
    plain = {"colour": 0, "event_drop": 0, "crop": 1}

    def black(share: float) -> int:
        augmentation = {**plain, "corruptions": share, "corruption_names": ["frames_lost"]}
        config = ClipConfig.model_validate(
            {"frames": 2, "size": 32, "augmentation": augmentation, "jitter": False}
        )
        clips = [make_clip(recording, config, generator=default_rng(seed)) for seed in range(30)]
        return sum(int(clip.rgb.max() == 0) for clip in clips)

    assert black(0) == 0
    assert 3 < black(0.9) < 30
