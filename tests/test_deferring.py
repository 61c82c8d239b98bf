"""Libraries import at once what is used at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORTS = "import sys, evlora, torchvision.tv_tensors, timm, peft; "


@pytest.mark.slow  # the same is seen of a prediction in test_start.py, in every test run
def test_peft_and_timm_are_imported_without_transformers_and_without_the_compiler():
    out = _run(IMPORTS + "print(*sorted({'transformers', 'torch._dynamo'} & set(sys.modules)))")
    assert out.split() == []


@pytest.mark.slow
def test_the_switch_imports_everything_as_usual():
    out = _run(
        IMPORTS + "print('transformers' in sys.modules, 'torch._dynamo' in sys.modules)",
        EVLORA_IMPORTS="eager",
    )
    assert out.split() == ["True", "True"]


@pytest.mark.slow
def test_peft_knows_objects_of_transformers_that_are_imported_later():
    _run(
        IMPORTS
        + """
from peft.peft_model import PreTrainedModel
from peft.tuners.lora.layer import Conv1D
import torch
assert not isinstance(torch.nn.Linear(2, 2), (Conv1D, PreTrainedModel))
assert "transformers" not in sys.modules
import transformers
from transformers.pytorch_utils import Conv1D as Real
settings = dict(n_layer=1, n_embd=8, n_head=1, vocab_size=10, bos_token_id=0, eos_token_id=0)
network = transformers.GPT2Model(transformers.GPT2Config(**settings))
assert isinstance(network, PreTrainedModel)
assert isinstance(network.h[0].attn.c_attn, Conv1D)
assert issubclass(Real, Conv1D)
config = peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)
adapted = peft.get_peft_model(network, config)
assert type(adapted.base_model.model.h[0].attn.c_attn) is peft.tuners.lora.Linear
"""
    )


@pytest.mark.slow
def test_networks_of_torchvision_are_there_as_usual():
    _run(
        IMPORTS
        + """
import torchvision
assert "torchvision.models" not in sys.modules
class Own(torchvision.models.ResNet):
    pass
assert "torchvision.models" in sys.modules
assert issubclass(Own, torchvision.models.resnet.ResNet)
assert torchvision.models.ResNet18_Weights.DEFAULT.name == "IMAGENET1K_V1"
features = timm.layers.create_feature_extractor(torchvision.models.resnet18(), ["layer1"])
assert "layer1" in dict(features.named_modules())
"""
    )


def test_the_compiler_skips_what_it_must_not_compile_once_it_is_there():
    _run(
        """
import evlora, sys
from evlora.deferring import _not_compiled
calls = []
class Compiler:
    @staticmethod
    def disable(function, recursive):
        calls.append(recursive)
        return function
twice = _not_compiled(lambda x: 2 * x, True)
assert twice(3) == 6 and not calls
sys.modules["torch._dynamo"] = Compiler
assert twice(4) == 8 and calls == [True]
"""
    )


def test_a_library_that_needs_at_once_what_is_deferred_is_imported_as_usual(tmp_path: Path):
    for name, text in {
        "hasty/__init__.py": "from hasty.part import answer",
        "hasty/part.py": "from slow import seven\nanswer = 6 * seven()",
        "slow.py": "def seven():\n    return 7",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _run(
        f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from evlora import deferring
deferring.DEFERRED["hasty"] = ("slow",)
import hasty, slow
assert hasty.answer == 42
assert slow.seven() == 7
"""
    )
