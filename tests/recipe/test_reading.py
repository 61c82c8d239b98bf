"""Recipes: what is read, what is refused, and those that ship with evlora."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from timm import is_model

from evlora.datasets.layouts import layout_named
from evlora.errors import AdapterError, RecipeError
from evlora.models import SingleStreamConfig
from evlora.recipe import (
    Recipe,
    build,
    load_recipe,
    recipe_of,
    recipes_folder,
    shipped_recipes,
)
from evlora.training.extras import Extras

SHIPPED = [name for name in shipped_recipes() if not name.startswith("ablations/")]
ABLATIONS = [name for name in shipped_recipes() if name.startswith("ablations/")]


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_recipe_that_ships_with_evlora_builds_and_answers(
    name: str, tiny_settings: dict[str, Any]
) -> None:
    names_layers = load_recipe(name).model.adapter.target_modules is not None
    settings = {
        key: value
        for key, value in tiny_settings.items()
        if not (names_layers and key.startswith("backbone."))  # they are those of its own backbone
    }
    recipe = load_recipe(name, settings)
    recognizer = build(recipe, num_classes=3)
    assert sum(p.numel() for p in recognizer.trained_tensors().values()) > 0
    clip = torch.zeros(2, recipe.clip.frames, 3, 32, 32, dtype=torch.uint8)
    given = [clip if name in recipe.clip.modalities else None for name in ("rgb", "event")]
    assert recognizer.recognize(*given).logits.shape == (2, 3)


def lines_of(name: str) -> str:
    return (recipes_folder() / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_states_its_commands_and_a_backbone_that_exists(name: str) -> None:
    text = lines_of(name)
    recipe = load_recipe(name)
    assert (
        f"evlora train {name} " in text
        or f"evlora train recipes/{name}.yaml " in text
        or f"evlora compare {name} " in text
        or "demo" in name
    )
    assert is_model(recipe.backbone.name.split(".")[0])
    for layout in re.findall(r"evlora prepare (\w+)", text):
        assert layout == "LAYOUT" or layout_named(layout).name == layout


def keys_of(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a recipe by the keys that one types for them."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        inside = value if isinstance(value, dict) and value else None
        flat |= {prefix + name: value} if inside is None else keys_of(inside, f"{prefix}{name}.")
    return flat


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_the_keys_that_it_names_and_no_other(name: str) -> None:
    before = keys_of(load_recipe("velora_vitb16_clip").model_dump(mode="json"))
    now = keys_of(load_recipe(name).model_dump(mode="json"))
    changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}

    named = list(yaml.safe_load(lines_of(name)))
    assert named.pop(0) == "extends"
    assert named
    for key in named:
        assert any(f"{other}.".startswith(f"{key}.") for other in changed), f"{key} is idle"
    for key in changed:
        assert any(f"{key}.".startswith(f"{other}.") for other in named), f"{key} is not named"
    assert re.match(r"# [A-Z0-9].*\w", lines_of(name))


ADAPTFORMER = ["cifar100", "svhn", "food101", "hmdb51", "something_something_v2"]


@pytest.mark.parametrize("name", ADAPTFORMER)
def test_the_protocol_is_adaptformers(name: str) -> None:
    """NeurIPS 2022: 0.1 per 256 clips, no decay, the class token behind a norm; 8 frames of 4."""
    recipe = load_recipe(name)
    training, model = recipe.training, recipe.model
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("sgd", 0.1, 0)
    assert training.learning_rate_per_256
    assert training.keep == "last"  # nothing is chosen on the split that is reported
    assert isinstance(model, SingleStreamConfig)
    assert (model.pool, model.head, model.adapter.method) == ("token", "norm_linear", "lv_adapter")
    assert "Pre-training: " in lines_of(name)
    is_video = name in ADAPTFORMER[3:]
    assert training.epochs == (90 if is_video else 100)
    assert recipe.clip.frames == (8 if is_video else 1)
    if is_video:
        assert (recipe.clip.sampling, recipe.clip.stride) == ("dense", 4)
        assert recipe.clip.test_views.count == 12
    else:
        assert training.warmup_epochs == 20


def test_keys_from_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "training: {epochs: 5, batch_size: 3}")
    recipe = load_recipe(path, ["training.epochs=7", "clip.modalities=[event]", "run.seed=4"])
    assert (recipe.training.epochs, recipe.training.batch_size) == (7, 3)
    assert recipe.clip.modalities == ("event",)
    assert recipe.run.seed == 4


def test_an_empty_file_is_the_default_recipe(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, "")) == Recipe()


def test_a_recipe_survives_writing_and_reading() -> None:
    recipe = load_recipe("nmnist_paired")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("training: {epoch: 3}", (), r"training\.epoch: unknown key; did you mean epochs\?"),
        ("", ["epochs=3"], r"epochs: unknown key; did you mean training\.epochs\?"),
        ("", ["model.rank=3"], r"model\.rank: unknown key; did you mean model\.adapter\.rank\?"),
        ("trainin: {}", (), r"trainin: unknown key; did you mean training\?"),
        ("zzz: 1", (), r"zzz: unknown key; there are: clip, backbone, model, data"),
        ("training: {epochs: many}", (), r"training\.epochs: expected a whole number, got 'many'"),
        ("training: {epochs: 0}", (), r"training\.epochs: expected a number above 0, got 0"),
        ("model: {poool: mean}", (), r"model\.poool: unknown key; did you mean pool\?"),
        ("model: {difrence: no}", (), r"model\.difrence: unknown key; did you mean difference\?"),
        (
            "model: {network: single_stream, high_blocks: 1}",
            (),
            r"model\.high_blocks: unknown key; there are: network, adapter, pool, temporal, head",
        ),
        ("", ["model.adapter.rnk=2"], r"model\.adapter\.rnk: unknown key; did you mean rank\?"),
        ("model: {pool: maximum}", (), r"model\.pool: expected 'token', 'mean' or 'map'"),
        (
            "model: {network: resnet}",
            (),
            r"model\.network: expected velora or single_stream, got 'r",
        ),
        ("model: {shared_adapter: {rnk: 1}}", (), r"model\.shared_adapter\.rnk: unknown key"),
        ("training: 3", ["training.epochs=3"], "expected keys and values as training, got 3"),
        ("a: 1\nb: 2\na: 3", (), "the key a stands in line 1 and in line 3; remove one"),
        ("clip: {size: 8, size: 16}", (), "the key size stands in line 1 and in line 1"),
        ("extends: demo\nclip.size: 8\nclip.size: 16", (), r"clip\.size stands in line 2 and in l"),
        ("", "training.epochs=3", r"expected a list of texts .*; write \['training.epochs=3'\]"),
        ("model: {network: published}", (), "model: expected a network to train, got published"),
        ("clip: {representation: foo}", (), r"clip\.representation: no representation is called"),
        ("- a list", (), "expected keys and values, got a list"),
        ("a: [", (), "expected a recipe in YAML: line 1, column 5: "),
        ("", ["training.epochs"], "expected key=value"),
        ("", ["training.epochs=[1"], "training.epochs: expected a value in YAML, got '.1': "),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_key_and_the_cure(
    tmp_path: Path, text: str, overrides: list[str] | str, words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe(written(tmp_path, text), overrides)


@pytest.mark.parametrize("folder", ["007", "2026-11-29", "off", "1e3", "a: b", "[a", "#1"])
def test_a_path_is_what_was_typed(tmp_path: Path, folder: str) -> None:
    assert load_recipe("demo", [f"run.dir={folder}"]).run.dir == Path(folder)


@pytest.mark.parametrize("folder", ["007", "2026-11-29", "off", "1e3"])
def test_a_path_in_a_file_is_what_was_typed(tmp_path: Path, folder: str) -> None:
    whole = written(tmp_path, f"run: {{dir: {folder}}}")
    assert load_recipe(whole).run.dir == Path(folder)
    single = written(tmp_path, f"extends: demo\nrun.dir: {folder}")
    assert load_recipe(single).run.dir == Path(folder)


@pytest.mark.parametrize("nothing", ["", "~", "null"])
def test_a_path_may_be_taken_away(nothing: str) -> None:
    assert load_recipe("demo", ["run.dir=x"]).run.dir == Path("x")
    assert load_recipe("demo", [f"run.dir={nothing}"]).run.dir is None


def test_a_tilde_is_the_home_folder() -> None:
    keys = {"run.dir": "~/run", "data.root": "~/data", "data.source": "~/source"}
    recipe = load_recipe("demo", keys)
    assert recipe.run.dir == Path.home() / "run"
    assert recipe.data.root == str(Path.home() / "data")
    assert recipe.data.source == Path.home() / "source"
    assert load_recipe("demo", ["run.dir=~nobody-of-this-name/x"]).run.dir == Path(
        "~nobody-of-this-name/x"
    )


def test_a_word_that_yaml_takes_for_a_truth_value_is_text_where_text_is_expected() -> None:
    assert load_recipe("demo", ["training.cache_features=off"]).training.cache_features == "off"
    with pytest.raises(RecipeError, match=r"optimizer: expected 'adamw' or 'sgd', got 'no'"):
        load_recipe("demo", ["training.optimizer=no"])


def test_a_gpu_may_be_called_as_its_device() -> None:
    recipe = load_recipe("demo", ["training.accelerator=cuda"])
    assert recipe.training.accelerator == "gpu"


def test_devices_are_a_number_or_the_numbers_of_gpus() -> None:
    assert load_recipe("demo", ["training.devices=2"]).training.devices == 2
    recipe = load_recipe("demo", ["training.devices=[0,2]"])
    assert recipe.training.devices == [0, 2]
    assert Extras((), (), None).accelerator_and_devices(recipe.training) == ("gpu", [0, 2])
    assert load_recipe("demo", {"training.accelerator": "mps"}).training.accelerator == "mps"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["training.devices=[1,1]"], r"numbers of GPUs, each once, got \[1, 1\]"),
        (["training.devices=[]"], r"numbers of GPUs, each once, got \[\]"),
        (["training.devices=[-1]"], "devices: expected"),
        (["training.devices=two"], "devices: expected"),
        (
            ["training.accelerator=cpu", "training.devices=[0]"],
            r"how many devices where training\.accelerator is cpu, got \[0\]",
        ),
    ],
)
def test_devices_that_are_none_are_refused(keys: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("demo", keys)


def test_keys_of_a_section_that_are_not_named_stay() -> None:
    before = load_recipe("nmnist_paired")
    expected = load_recipe("nmnist_paired", {"training.epochs": 1, "clip.augmentation.crop": 0.5})

    whole = {"training": {"epochs": 1}, "clip": {"augmentation": {"crop": 0.5}}}
    assert load_recipe("nmnist_paired", whole) == expected
    typed = ["training={epochs: 1}", "clip={augmentation: {crop: 0.5}}"]
    assert load_recipe("nmnist_paired", typed) == expected
    assert expected.training.learning_rate == before.training.learning_rate
    assert expected.clip.augmentation.event_drop == before.clip.augmentation.event_drop == 0.1


def test_keys_of_a_section_stay_where_a_recipe_extends_another_one(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: nmnist_paired\ntraining: {epochs: 1}")
    assert load_recipe(path) == load_recipe("nmnist_paired", ["training.epochs=1"])


def test_a_model_of_another_network_is_replaced_as_a_whole() -> None:
    model = load_recipe("demo", {"model": {"network": "single_stream"}}).model
    assert model == SingleStreamConfig()
    same = load_recipe("demo", {"model": {"network": "velora", "pool": "token"}})
    assert same == load_recipe("demo", {"model.pool": "token"})


def test_an_adapter_is_replaced_as_a_whole() -> None:
    for dora in ("dora", {"method": "dora"}):
        adapter = load_recipe("demo", {"model.adapter": dora}).model.adapter
        assert (adapter.method, adapter.rank) == ("dora", None)


@pytest.mark.parametrize("adapter", ["adapter", "shared_adapter"])
def test_an_unknown_method_is_answered_with_its_key_and_the_nearest_name(adapter: str) -> None:
    with pytest.raises(AdapterError, match=rf"^model\.{adapter}\.method: .* did you mean lora\?"):
        load_recipe("demo", [f"model.{adapter}=lara"])


def test_a_key_of_an_adapter_that_is_a_name_alone_keeps_the_method(tmp_path: Path) -> None:
    path = written(tmp_path, "model: {adapter: dora}")
    adapter = load_recipe(path, ["model.adapter.rank=2"]).model.adapter
    assert (adapter.method, adapter.rank) == ("dora", 2)


def test_overrides_change_a_recipe_that_was_loaded_before() -> None:
    recipe = recipe_of(load_recipe("demo"), {"training.epochs": 1, "model.adapter.rank": 2})
    assert recipe == load_recipe("demo", {"training.epochs": 1, "model.adapter.rank": 2})


def test_overrides_are_not_changed_by_those_that_follow() -> None:
    row = {"model.adapter": {"method": "lora"}}
    load_recipe("demo", {**row, "model.adapter.rank": 2})
    assert row == {"model.adapter": {"method": "lora"}}


def test_a_message_names_what_was_typed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as of_key:
        load_recipe("demo", ["training.epoch=3"])
    assert str(of_key.value) == "training.epoch: unknown key; did you mean epochs?"
    with pytest.raises(RecipeError) as of_file:
        load_recipe(written(tmp_path, "trainin: {}"), ["training.epochs=3"])
    assert str(of_file.value).startswith(f"{tmp_path / 'mine.yaml'}: trainin: unknown key")


def test_a_recognizer_has_two_classes_or_more() -> None:
    for number in (-1, 0, 1):
        with pytest.raises(RecipeError, match=f"num_classes: expected 2 or more, got {number}"):
            build("demo", num_classes=number)


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "training: {epochs: 0, batch_size: 0}")
    with pytest.raises(RecipeError, match=r"training\.epochs: .*; training\.batch_size: "):
        load_recipe(path)


def test_a_missing_recipe_is_answered_with_the_command_that_lists_them() -> None:
    with pytest.raises(RecipeError, match=r"no such recipe; .*evlora train --list"):
        load_recipe("nothing_like_it")


def test_a_recipe_that_extends_another_sets_single_keys_over_it(tmp_path: Path) -> None:
    written(tmp_path, "training: {epochs: 5, batch_size: 3}")
    child = tmp_path / "child.yaml"
    child.write_text("extends: mine.yaml\ntraining.epochs: 7", encoding="utf-8")
    grandchild = tmp_path / "grandchild.yaml"
    grandchild.write_text("extends: child.yaml\nclip.frames: 4", encoding="utf-8")
    recipe = load_recipe(grandchild, ["clip.size=32"])
    assert (recipe.training.epochs, recipe.training.batch_size) == (7, 3)
    assert (recipe.clip.frames, recipe.clip.size) == (4, 32)


def test_a_recipe_can_extend_one_that_ships_with_evlora(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: ablations/rgb_only\ntraining.epochs: 2")
    assert load_recipe(path) == load_recipe("ablations/rgb_only", ["training.epochs=2"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: nothing_like_it", r"mine\.yaml: extends: nothing_like_it: no such recipe"),
        ("extends: ../velora_vitb16_clip", r"extends: \.\./velora_vitb16_clip: no such recipe"),
        ("extends: mine.yaml", "a recipe may not extend one that extends it"),
        ("extends: demo\ntraining.epoch: 3", r"training\.epoch: unknown key; did you mean epochs"),
    ],
)
def test_a_wrong_extension_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe(written(tmp_path, text))


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("extends: mine.yaml", encoding="utf-8")
    with pytest.raises(RecipeError, match="leads back to"):
        load_recipe(written(tmp_path, "extends: other.yaml"))


@pytest.mark.parametrize("is_first", [True, False])
def test_another_network_is_one_key(is_first: bool) -> None:
    lines: list[str] = []
    keys = ["model.network=single_stream", "model.temporal=attention", "clip.modalities=[event]"]
    recipe = load_recipe("demo", keys if is_first else keys[::-1], report=lines.append)
    assert isinstance(recipe.model, SingleStreamConfig)
    assert recipe.model.temporal == "attention"
    assert recipe.model.adapter == load_recipe("demo").model.adapter
    (note,) = lines
    assert note.startswith("note: without model.")
    assert "which the network single_stream does not have" in note


@pytest.mark.parametrize("is_first", [True, False])
def test_a_given_key_that_the_other_network_lacks_is_refused_by_name(is_first: bool) -> None:
    keys = ["model.network=single_stream", "model.high_blocks=2"]
    with pytest.raises(RecipeError, match=r"^model\.high_blocks: unknown key"):
        load_recipe("demo", keys if is_first else keys[::-1])


def test_the_network_that_a_recipe_has_keeps_its_keys() -> None:
    lines: list[str] = []
    assert load_recipe("demo", ["model.network=velora"], report=lines.append) == load_recipe("demo")
    assert lines == []


def test_an_unknown_network_is_refused_by_its_key() -> None:
    with pytest.raises(RecipeError, match=r"model\.network: expected velora or single_stream"):
        load_recipe("demo", ["model.network=single"])
