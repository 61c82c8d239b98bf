"""Bundles: what is saved, that it comes back exactly, and what is refused."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_networks import SETTINGS
from peft import PeftModel
from safetensors.torch import load_file, save_file
from slow import slow_but
from timm import create_model

from evlora.answering import for_answers
from evlora.bundle import load_bundle, save_bundle
from evlora.bundle_description import read_description
from evlora.errors import BundleError
from evlora.models.adapters import METHODS as CATALOGUE
from evlora.recipe import build
from evlora.recognizer import Recognizer

SIZE = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2}


def weights_in(folder: Path) -> Path:
    vit = create_model("vit_tiny_patch16_224", num_classes=0, **SIZE)
    save_file(vit.state_dict(), folder / "vit.safetensors")
    return folder / "vit.safetensors"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return weights_in(tmp_path)


def trained(settings: dict[str, Any], **changes: Any) -> Recognizer:
    recognizer = build("demo", num_classes=4, overrides={**settings, **changes})
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return recognizer.eval()


def answer(recognizer: Recognizer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    rgb, events = (torch.randn(2, 2, 3, 32, 32, generator=generator) for _ in range(2))
    with torch.inference_mode():
        return recognizer(rgb, events).logits


METHODS = ["lora", "dora", "none", "full"]


@pytest.mark.slow
def test_bundles_give_the_same_logits_in_a_new_process(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    changes = {"backbone.weights": str(weights)}
    recognizers = [
        trained(tiny_settings, **changes, **{"model.adapter.method": method}) for method in METHODS
    ]
    bundles = [
        save_bundle(recognizer, tmp_path / method)
        for recognizer, method in zip(recognizers, METHODS, strict=True)
    ]
    script = (
        "import sys, torch, evlora\n"
        "generator = torch.Generator().manual_seed(1)\n"
        "rgb, events = (torch.randn(2, 2, 3, 32, 32, generator=generator) for _ in range(2))\n"
        "for bundle in sys.argv[1:]:\n"
        "    print(evlora.load_bundle(bundle)(rgb, events).logits.flatten().tolist())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, *map(str, bundles)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for recognizer, line in zip(recognizers, printed.splitlines(), strict=True):
        logits = torch.tensor(json.loads(line)).reshape(2, 4)
        torch.testing.assert_close(logits, answer(recognizer), atol=1e-5, rtol=0)


SINGLE_STREAM = {
    "clip.modalities": ["rgb"],
    "model": {
        "network": "single_stream",
        "temporal": "transformer",
        "head": "norm_linear",
    },
}


@pytest.mark.parametrize(
    "method", slow_but(CATALOGUE, quick={"full", "lora", "adalora", "vpt"}.__contains__)
)
def test_a_bundle_of_one_modality_keeps_the_statistics_of_its_norm(
    method: str, tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    changes = {**SINGLE_STREAM, "model.adapter": {"method": method, **SETTINGS[method]}}
    recognizer = trained(tiny_settings, **changes, **{"backbone.weights": str(weights)})
    recognizer.train()(torch.randn(6, 2, 3, 32, 32))
    recognizer.eval()
    assert bool(recognizer.network.get_submodule("head.norm").running_mean.any())
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    clip = torch.randn(2, 2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_bundle(bundle)(clip).logits, recognizer(clip).logits)
    stored = {name for file in bundle.rglob("*.safetensors") for name in load_file(file)}
    assert {"head.norm.running_mean", "head.linear.weight", "temporal.query"} <= stored


def test_a_bundle_keeps_an_adapter_whose_ranks_were_taken_away(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    changes = {**SINGLE_STREAM, "model.adapter": {"method": "adalora", "rank": 2}}
    recognizer = trained(tiny_settings, **changes, **{"backbone.weights": str(weights)})
    values = [p for name, p in recognizer.named_parameters() if "lora_E" in name]
    with torch.no_grad():
        for number, value in enumerate(values):
            value[: number % len(value)] = 0
        values[-1].zero_()
    clip = torch.randn(2, 2, 3, 32, 32)
    for copy in ("first", "of the first"):  # the ranks of a loaded one are those that are left
        bundle = save_bundle(recognizer, tmp_path / copy)
        again = load_bundle(bundle)
        with torch.inference_mode():
            torch.testing.assert_close(again(clip).logits, recognizer(clip).logits)
        assert again.state_dict().keys() == recognizer.state_dict().keys()
        recognizer = again


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ({}, "rank_pattern: expected ranks of .*fc1.lora_E"),
        ([True], "rank_pattern: expected ranks of"),
        ("longer", "expected 1 to 3 ranks"),
        ("empty", "expected 1 to 3 ranks"),
        ("number", "expected 1 to 3 ranks"),
    ],
)
def test_ranks_of_another_network_are_refused(
    pattern: Any, fault: str, tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    changes = {**SINGLE_STREAM, "model.adapter": {"method": "adalora", "rank": 2}}
    recognizer = trained(tiny_settings, **changes, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    (path,) = bundle.glob("adapters/*/adapter_config.json")
    content = json.loads(path.read_text())
    used = {"longer": [True] * 9, "empty": [], "number": 2}
    if isinstance(pattern, str):
        pattern = dict.fromkeys(content["rank_pattern"], used[pattern])
    path.write_text(json.dumps({**content, "rank_pattern": pattern}))
    damage_config(bundle)
    with pytest.raises(BundleError, match=fault):
        load_bundle(bundle)


def test_a_bundle_from_before_there_were_several_networks_loads(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings)
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    content = json.loads((bundle / "config.json").read_text())
    assert content["model"].pop("network") == "velora"
    damage_config(bundle, model=content["model"])
    assert torch.equal(answer(load_bundle(bundle)), answer(recognizer))


def test_a_bundle_of_a_random_backbone_carries_it(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings)
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    assert (bundle / "backbone.safetensors").is_file()
    assert torch.equal(answer(load_bundle(bundle)), answer(recognizer))


def test_a_bundle_holds_what_was_trained_and_no_frozen_weight(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    stored = sum(
        t.numel() for file in bundle.rglob("*.safetensors") for t in load_file(file).values()
    )
    assert stored == sum(p.numel() for p in recognizer.trained_tensors().values())
    kinds = {file.suffix for file in bundle.rglob("*") if file.is_file()}
    assert kinds == {".json", ".safetensors", ".md"}  # and so no pickle


def test_an_adapter_of_a_bundle_opens_with_peft_alone(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    vit = create_model("vit_tiny_patch16_224", num_classes=0, **SIZE)
    vit.load_state_dict(load_file(weights))
    adapted = PeftModel.from_pretrained(vit, str(bundle / "adapters" / "rgb")).eval()
    image = torch.randn(1, 3, 32, 32)
    expected = recognizer.network.view("rgb").vit.forward_features(image)
    torch.testing.assert_close(adapted.base_model.model.forward_features(image), expected)


def test_a_bundle_is_found_again_when_the_weights_moved(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    moved = weights.rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(BundleError, match=r"cannot get its backbone.*--weights"):
        load_bundle(bundle)
    assert torch.equal(answer(load_bundle(bundle, weights=moved)), answer(recognizer))


def test_another_backbone_of_the_same_shape_is_refused(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    other = {name: tensor + 1e-4 for name, tensor in load_file(weights).items()}
    save_file(other, weights)
    with pytest.raises(BundleError, match=r"was made for another backbone: expected .* SHA-256"):
        load_bundle(bundle)


def damage_config(bundle: Path, **changes: Any) -> None:
    """Change keys of config.json, and make it one of a bundle that has no hashes yet."""
    path = bundle / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    content.pop("sha256", None)
    path.write_text(json.dumps(content))


def drop_tensor(path: Path) -> None:
    tensors = load_file(path)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, path)


def add_tensor(path: Path) -> None:
    save_file({**load_file(path), "stranger": torch.zeros(1)}, path)


def change(path: Path, by: Callable[[torch.Tensor], torch.Tensor]) -> None:
    save_file({name: by(tensor) for name, tensor in load_file(path).items()}, path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


ADAPTER = "adapters/event/adapter_model.safetensors"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: (b / "config.json").unlink(), "expected a bundle with a config.json"),
        (lambda b: (b / "config.json").write_text("{"), "is damaged or not of a bundle"),
        (lambda b: (b / "config.json").write_text("[]"), "expected keys and values, got "),
        (lambda b: (b / "config.json").write_text("{}"), "key 'format' is missing"),
        (lambda b: damage_config(b, format=99), "expected bundle format 1, got 99"),
        (lambda b: damage_config(b, labels=["a"]), "head.weight: expected shape"),
        (lambda b: damage_config(b, model={"depth": 1}), "depth"),
        (lambda b: (b / "head.safetensors").unlink(), "head.safetensors: is missing"),
        (lambda b: (b / ADAPTER).unlink(), "adapter_model.safetensors: is missing"),
        (lambda b: drop_tensor(b / "head.safetensors"), "missing: head.bias"),
        (lambda b: drop_tensor(b / ADAPTER), "missing: base_model.model.blocks.0"),
        (lambda b: add_tensor(b / ADAPTER), "not of this network: stranger"),
        (lambda b: cut_short(b / ADAPTER), "is damaged"),
        (lambda b: (b / "backbone.safetensors").unlink(), "expected backbone.safetensors"),
        (
            lambda b: change(b / ADAPTER, torch.Tensor.double),
            "expected numbers of type torch.float",
        ),
        (lambda b: change(b / ADAPTER, lambda t: t * float("nan")), "expected finite numbers"),
        (lambda b: damage_config(b, labels=["a", "b", "a"]), "expected each label once"),
        (lambda b: damage_config(b, labels=["a", 3]), "expected labels of text, got 3"),
        (lambda b: damage_config(b, labels={}), "expected a list of labels"),
        (
            lambda b: damage_config(b, clip={"frames": 10**9}),
            "frames: expected a number of at most",
        ),
        (lambda b: damage_config(b, clip={"size": 10**9}), "size"),
        (lambda b: damage_config(b, formats=1), "unknown keys: formats"),
    ],
)
def test_a_damaged_bundle_is_refused_by_name(
    damage: Any, words: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    damage_config(bundle)
    damage(bundle)
    with pytest.raises(BundleError, match=words.replace(".", r"\.")):
        load_bundle(bundle)


FLIPS = int(os.environ.get("EVLORA_FLIPS", "40"))


def test_a_flipped_bit_in_a_bundle_is_refused_or_changes_nothing(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings)
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    files = [path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".md"]
    place = random.Random(0)
    expected = answer(recognizer)
    refused = 0
    for number in range(FLIPS):
        path = files[number % len(files)]
        whole = path.read_bytes()
        content = bytearray(whole)
        content[place.randrange(len(content))] ^= 1 << place.randrange(8)
        path.write_bytes(content)
        try:
            read_description(bundle)
        except BundleError:
            refused += 1
        else:  # white space, or one way of writing a letter for another
            assert path.name == "config.json"
            assert torch.equal(answer(load_bundle(bundle)), expected)
        path.write_bytes(whole)
    assert refused > 0.8 * FLIPS


def test_a_folder_of_other_things_is_not_replaced_by_a_bundle(
    tmp_path: Path, tiny_settings: dict[str, Any]
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BundleError, match="found other things in it"):
        save_bundle(trained(tiny_settings), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def places(recognizer: Recognizer) -> dict[str, int]:
    """Where the frozen weights lie in memory."""
    return {
        name: parameter.data_ptr()
        for name, parameter in recognizer.named_parameters()
        if not parameter.requires_grad
    }


def two_of_a_backbone(
    settings: dict[str, Any], weights: Path, folder: Path, **changes: Any
) -> list[Path]:
    recognizers = [trained(settings, **{"backbone.weights": str(weights)}, **changes) for _ in "ab"]
    return [save_bundle(one, folder / name) for one, name in zip(recognizers, "ab", strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("is_carried", [False, True])
def test_bundles_over_one_backbone_share_its_memory(
    is_carried: bool, tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    bundles = two_of_a_backbone(tiny_settings, weights, tmp_path)
    if is_carried:
        bundles = [
            save_bundle(load_bundle(one), tmp_path / f"whole-{one.name}", with_backbone=True)
            for one in bundles
        ]
    expected = [answer(load_bundle(one)) for one in bundles]
    first, second = map(load_bundle, bundles)
    assert places(first) == places(second)
    assert len(places(first)) > 30
    del first  # those that are left still share
    third = load_bundle(bundles[0])
    assert places(third) == places(second)
    assert torch.equal(answer(second), expected[1])
    assert torch.equal(answer(third), expected[0])


@pytest.fixture(scope="module")
def pair(
    tiny_settings_of: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Two bundles over one backbone, to read."""
    folder = tmp_path_factory.mktemp("pair")
    return two_of_a_backbone(tiny_settings_of(folder / "run"), weights_in(folder), folder)


def trains(recognizer: Recognizer) -> None:
    recognizer.train()
    optimizer = torch.optim.SGD(recognizer.trained_tensors().values(), lr=0.1)
    recognizer(torch.randn(2, 2, 3, 32, 32), torch.randn(2, 2, 3, 32, 32)).logits.sum().backward()
    optimizer.step()


def trains_everything(recognizer: Recognizer) -> None:
    recognizer.requires_grad_(True)
    with torch.no_grad():
        for parameter in recognizer.parameters():
            parameter.add_(0.1)


def loads_other_weights(recognizer: Recognizer) -> None:
    other = {name: tensor + 0.1 for name, tensor in recognizer.state_dict().items()}
    recognizer.load_state_dict(other)


CHANGES = {
    "is trained": trains,
    "is trained as a whole": trains_everything,
    "loads other weights": loads_other_weights,
    "is cast": lambda recognizer: recognizer.to(torch.bfloat16),
    "is prepared for training": lambda recognizer: recognizer.prepare_training(
        precision="bf16-mixed"
    ),
    "answers with folded adapters": lambda recognizer: for_answers(recognizer),
}


@pytest.mark.parametrize(
    ("change", "changed"),
    slow_but(list(product(CHANGES, [0, 1])), quick=lambda case: case[1] == 0),
)
def test_a_recognizer_stays_as_it_is_when_one_that_shares_its_weights(
    change: str, changed: int, pair: list[Path]
) -> None:
    loaded = [load_bundle(one) for one in pair]
    assert places(loaded[0]) == places(loaded[1])
    other = loaded[1 - changed]
    before = answer(other)
    CHANGES[change](loaded[changed])
    assert torch.equal(answer(other), before)


def test_a_changed_backbone_is_not_handed_to_the_next_bundle(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    first, second = two_of_a_backbone(tiny_settings, weights, tmp_path)
    expected = answer(load_bundle(second))
    changed = load_bundle(first)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.data.add_(0.1)
    assert torch.equal(answer(load_bundle(second)), expected)


def test_fully_trained_bundles_share_nothing(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    changes = {"model.adapter.method": "full"}
    bundles = two_of_a_backbone(tiny_settings, weights, tmp_path, **changes)
    first, second = load_bundle(bundles[0]), load_bundle(bundles[0])
    own = [{p.data_ptr() for p in one.parameters()} for one in (first, second)]
    assert not own[0] & own[1]


def test_a_bundle_states_no_place_of_the_machine(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    recipe = {
        "data": {"root": str(tmp_path / "data"), "source": "s3://bucket/data", "cache": "~/cache"},
        "backbone": recognizer.config.backbone.model_dump(),
        "run": {"dir": "runs/of alice/first", "seed": 0},
        "comparison": {"other": {"backbone.weights": str(weights), "data.root": None}},
        "training": {"start_from": r"C:\Users\alice\run"},
    }
    bundle = save_bundle(recognizer, tmp_path / "bundle", recipe=recipe, with_backbone=True)
    for file in bundle.rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes()
    content = json.loads((bundle / "config.json").read_text())
    assert content["backbone"]["weights"] == "vit.safetensors"
    kept = content["recipe"]
    assert kept["data"] == {"root": "data", "source": "s3://bucket/data", "cache": "cache"}
    assert kept["run"] == {"dir": "first", "seed": 0}
    assert kept["comparison"]["other"] == {"backbone.weights": "vit.safetensors", "data.root": None}
    assert kept["training"] == {"start_from": "run"}


@pytest.mark.parametrize("place", ["run", "run/bundle", ".", "by the recipe", "working folder"])
def test_the_weights_are_found(
    place: str,
    tiny_settings: dict[str, Any],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "place" / "run" / "bundle")
    (tmp_path / "far").mkdir()
    moved = weights.rename(tmp_path / "far" / weights.name)
    if place == "by the recipe":
        (bundle.parent / "recipe.yaml").write_text(f"backbone: {{weights: {moved}}}")
    elif place == "working folder":
        monkeypatch.chdir(moved.parent)
    else:
        with pytest.raises(BundleError, match=r"the file vit.safetensors .*name the file with"):
            load_bundle(bundle)
        moved.rename(tmp_path / "place" / place / weights.name)
    assert torch.equal(answer(load_bundle(bundle)), answer(recognizer))


def test_another_file_of_the_name_is_passed_over_for_the_right_one(
    tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    bundle = save_bundle(recognizer, tmp_path / "run" / "bundle")
    other = {name: tensor + 1e-4 for name, tensor in load_file(weights).items()}
    save_file(other, tmp_path / "run" / weights.name)
    assert torch.equal(answer(load_bundle(bundle)), answer(recognizer))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_bundle_with_its_backbone_needs_nothing_else(
    precision: Any, tiny_settings: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    recognizer = trained(tiny_settings, **{"backbone.weights": str(weights)})
    expected = answer(recognizer)
    recognizer.prepare_training(precision=precision)
    bundle = save_bundle(recognizer, tmp_path / "bundle", with_backbone=True)
    weights.unlink()
    assert torch.equal(answer(load_bundle(bundle)), expected)
    assert "in this folder; SHA-256" in (bundle / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": {"adapter": {"method": "lora", "rank": 10_000_000}}}, "rank of at most 1024"),
        ({"model": {"adapter": {"method": "vpt", "options": {"tokens": 10**9}}}}, "16,384, got"),
        ({"clip": {"frames": 4096, "size": 8192}}, "clips of at most 268,435,456 pixels"),
        ({"clip": {"test_views": {"segments": 10**9}}}, "test_views of at most 1000 clips"),
        ({"backbone": {"options": {"depth": 10_000, "embed_dim": 16_000}}}, "5,000,000,000 param"),
        ({"backbone": {"options": {"depth": 10**9}}}, "depth: expected a number of at most 16,384"),
        ({"labels": ["a", "b" * 1001]}, "names of at most 1,000 characters"),
        ({"labels": ["a", "\udcff"]}, "names in UTF-8"),
        ({"extra": 1}, "unknown keys: extra"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bundle_that_asks_for_too_much_is_refused_before_memory_is_taken(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    content: dict[str, Any] = {
        "format": 1,
        "labels": ["a", "b"],
        "clip": {},
        "backbone": {},
        "model": {"network": "single_stream"},
        "backbone_sha256": "",
    }
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=reason):
        load_bundle(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1' + "0" * 5000 + "}", "\xff", "{}"])
def test_a_description_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"config\.json"):
        load_bundle(tmp_path)
