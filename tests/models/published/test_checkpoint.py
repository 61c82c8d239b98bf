"""Reading the released checkpoint: what is taken, what is ignored, what is refused by name."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_release import REST, SMALL, TOWERS, Size, checkpoint, save

from evlora.errors import CheckpointError
from evlora.models import read_published_checkpoint

BLOCK = "base_model.model.visual.transformer.resblocks.1."
Content = dict[str, Any]


def test_the_shapes_tell_the_sizes(tmp_path: Path) -> None:
    size = Size(width=192, depth=2, patch=8, grid=5, projected=40, rank=2, classes=9)
    sizes = read_published_checkpoint(save(checkpoint(size), tmp_path / "c.pth")).sizes
    assert (sizes.width, sizes.depth, sizes.heads) == (192, 2, 3)
    assert (sizes.patch_px, sizes.size_px, sizes.projected_width) == (8, 40, 40)
    assert (sizes.rank, sizes.classes) == (2, 9)


def test_the_epoch_is_kept_and_may_be_missing(tmp_path: Path) -> None:
    content = checkpoint()
    assert read_published_checkpoint(save(content, tmp_path / "a.pth")).epoch == 37
    del content["epoch"], content["optimizer_state_dict"]
    assert read_published_checkpoint(save(content, tmp_path / "b.pth")).epoch is None


def test_the_text_tower_and_unused_parts_are_ignored_there_or_not(tmp_path: Path) -> None:
    whole = checkpoint()
    read = read_published_checkpoint(save(whole, tmp_path / "whole.pth"))
    assert not [key for _, key in read.tensors if "token_embedding" in key or "bn." in key]
    bare = checkpoint()
    for section in TOWERS.values():
        bare[section] = {k: v for k, v in bare[section].items() if ".visual." in k}
    for name in list(bare[REST]):
        if re.match(r"word_embed|weight_layer|remain|bn|tex_embed|CLS_token|cross_model", name):
            del bare[REST][name]
    assert len(bare[REST]) < len(whole[REST])
    again = read_published_checkpoint(save(bare, tmp_path / "bare.pth"))
    assert again.tensors.keys() == read.tensors.keys()


def test_a_checkpoint_in_the_oldest_format_of_torch_is_read(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_published_checkpoint(tmp_path / "old.pth").sizes.classes == SMALL.classes


def drop(section: str, key: str) -> Callable[[Content], object]:
    return lambda content: content[section].pop(key)


def add(section: str, key: str) -> Callable[[Content], object]:
    return lambda content: content[section].update({key: torch.zeros(1)})


def change(section: str, key: str) -> Callable[[Content], object]:
    return lambda content: content[section].update({key: content[section][key] + 1e-6})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop(REST, "fc1.weight"), "missing: model_state_dict: fc1.weight; not of it: none"),
        (drop(REST, "rgb_embed"), "missing: model_state_dict: rgb_embed"),
        (drop(TOWERS["rgb"], BLOCK + "ln_2.bias"), f"missing: ViT_model_state_dict: {BLOCK}ln_2"),
        (
            drop(TOWERS["event"], BLOCK + "mlp.c_proj.lora_B.default.weight"),
            f"missing: Event_ViT_model_state_dict: {BLOCK}mlp.c_proj.lora_B.default.weight",
        ),
        (
            drop(TOWERS["difference"], "base_model.model.visual.proj"),
            "missing: frame_ViT_model_state_dict: base_model.model.visual.proj",
        ),
        (add(REST, "blocks.0.ls1.gamma"), "not of it: model_state_dict: blocks.0.ls1.gamma"),
        (
            add(TOWERS["rgb"], BLOCK + "attn.out_proj.lora_A.default.weight"),
            f"not of it: ViT_model_state_dict: {BLOCK}attn.out_proj.lora_A.default.weight",
        ),
        (
            add(TOWERS["event"], "base_model.model.visual.transformer.resblocks.99.ln_1.bias"),
            "not of it: Event_ViT_model_state_dict: base_model.model.visual.transformer.resblocks"
            ".99.ln_1.bias",
        ),
        (
            change(TOWERS["difference"], BLOCK + "ln_1.weight"),
            f"frame_ViT_model_state_dict: {BLOCK}ln_1.weight: expected the frozen weights that "
            "ViT_model_state_dict has",
        ),
        (lambda c: c.pop("frame_ViT_model_state_dict"), "missing: frame_ViT_model_state_dict"),
        (lambda c: c.update(extra={}), "missing: none; not of it: extra"),
        (lambda c: c.update(model_state_dict=[1]), "expected tensors by name"),
        (lambda c: c[REST].update(fc1=3), "expected tensors by name"),
        (
            lambda c: c[REST].update({"fc1.weight": torch.zeros(3)}),
            "expected 2 axes, got shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    damage: Callable[[Content], object], words: str, tmp_path: Path
) -> None:
    content = checkpoint()
    damage(content)
    with pytest.raises(CheckpointError, match=re.escape(words)):
        read_published_checkpoint(save(content, tmp_path / "c.pth"))


@pytest.mark.slow
def test_every_tensor_of_the_released_network_is_asked_for(tmp_path: Path) -> None:
    whole = read_published_checkpoint(save(checkpoint(), tmp_path / "whole.pth")).tensors
    rest = [(section, key) for section, key in whole if section == REST]
    block = [(section, key) for section, key in whole if key.startswith(BLOCK)]
    for section, key in [*rest, *block]:
        content = checkpoint()
        del content[section][key]
        with pytest.raises(CheckpointError, match=re.escape(key)):
            read_published_checkpoint(save(content, tmp_path / "c.pth"))


class Code:
    """What a pickle calls when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_needs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with (tmp_path / "plain.pth").open("wb") as file:
        pickle.dump({"model_state_dict": Code(trace)}, file, protocol=2)
    for name in ("plain.pth", save({**checkpoint(), "epoch": Code(trace)}, tmp_path / "zip.pth")):
        with pytest.raises(CheckpointError, match="nothing else is unpickled, since"):
            read_published_checkpoint(tmp_path / name)
    assert not trace.exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth: no such file"):
        read_published_checkpoint(tmp_path / "nowhere.pth")
    whole = save(checkpoint(), tmp_path / "whole.pth").read_bytes()
    half = whole[: len(whole) // 2]
    # What torch's unpickler raises depends on the first bytes: each of these is another error.
    nothing = (b"", b"no checkpoint", b"a", b"h0", b"M", b"X", b"]]R.")
    for number, content in enumerate((*nothing, half)):
        file = tmp_path / f"{number}.pth"
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is (damaged or )?no checkpoint"):
            read_published_checkpoint(file)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="expected a dict of state dicts, got a list"):
        read_published_checkpoint(tmp_path / "list.pth")
