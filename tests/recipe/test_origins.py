"""What has set each key of a recipe, and the schema for editors."""

from pathlib import Path

from evlora.recipe import load_recipe, shipped_recipes
from evlora.recipe.origins import json_schema, origins_of


def test_each_key_has_its_value_and_what_set_it(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("training: {epochs: 4, batch_size: 3}\nclip: {size: 64}\n")
    own = tmp_path / "own.yaml"
    own.write_text("extends: base.yaml\ntraining.batch_size: 5\nbackbone.options: {depth: 2}\n")
    found = {o.key: (o.value, o.origin) for o in origins_of(own, ["training.optimizer=sgd"])}
    assert found["training.epochs"] == (4, str(base))
    assert found["training.batch_size"] == (5, str(own))
    assert found["training.optimizer"] == ("sgd", "command line")
    assert found["backbone.options.depth"] == (2, str(own))
    assert found["clip.size"] == (64, str(base))
    assert found["run.seed"] == (0, "default")


def test_what_the_dataset_decides_is_named_so(tiny_dataset: Path) -> None:
    keys = {"data.root": str(tiny_dataset), "data.decides": True, "training.epochs": 7}
    found = {o.key: (o.value, o.origin) for o in origins_of("demo", keys)}
    assert found["training.epochs"] == (7, "command line")
    assert found["data.decides"] == (False, "dataset")


def test_a_shipped_recipe_is_called_by_its_name() -> None:
    found = {o.key: o.origin for o in origins_of("nmnist_paired")}
    assert found["clip.size"] == "nmnist_paired"
    assert len(found) == len(origins_of(Path("nmnist_paired")))


def test_the_schema_has_all_keys_with_their_sentences() -> None:
    schema = json_schema()
    training = schema["$defs"]["TrainingConfig"]["properties"]
    assert set(training) == set(load_recipe("demo").training.model_dump())
    assert all(part["description"] for part in training.values())
    assert schema["properties"]["training.epochs"] == training["epochs"]
    assert schema["additionalProperties"] is False
    names = set(schema["properties"])
    assert {"extends", "training", "run.dir", "comparison"} <= names
    assert shipped_recipes()
