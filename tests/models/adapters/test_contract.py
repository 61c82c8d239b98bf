"""What every method of the catalogue promises, on every kind of network.

A method is a row of `adapter_networks.SETTINGS`. What a method cannot do is declared here or in
`adapter_networks.WITHOUT_PLACE`, with the words of its refusal, and tested as well.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import BUILDERS, SETTINGS, WITHOUT_PLACE, answer, base, config, inputs
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from slow import slow_but
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters import METHODS, adapt, after_step, begin_training
from evlora.models.adapters.from_peft.rows import ROWS

# peft 0.21 uses a name of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")

CELLS = [(m, n) for m in SETTINGS for n in BUILDERS if (m, n) not in WITHOUT_PLACE]
ADAPTED = [(m, n) for m, n in CELLS if m not in ("none", "full")]


OF_ALL_ROWS = ("lokr", "lily")
"""Of the tuners that are a row alone, those that every test run puts on a ViT."""


def of_a_vit(cell: tuple[str, str]) -> bool:
    return cell[1] == "vit" and (cell[0] not in ROWS or cell[0] in OF_ALL_ROWS)


every_cell = pytest.mark.parametrize(("method", "network"), slow_but(CELLS, quick=of_a_vit))
every_adapted_cell = pytest.mark.parametrize(
    ("method", "network"), slow_but(ADAPTED, quick=of_a_vit)
)

CHANGES_AT_THE_START = {
    "vpt": "prompt tokens take part in the attention from the first forward on",
    "unilora": "all pairs are drawn from one random vector, and none of them is zero",
    "vblora": "both matrices of a pair are made of the same bank of random vectors",
}
HAS_ONE_ADAPTER = {"adalora": "supports only 1 trainable adapter"}
"""Methods of which peft allows one adapter only."""

IS_SAVED_SMALLER = {"adalora": "unused ranks are not saved, and sums round otherwise"}


@pytest.fixture(autouse=True)
def _no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    # peft by itself, without the catalogue, would try to compile one for BOFT
    monkeypatch.setattr("peft.tuners.boft.layer._FBD_CUDA", False)


def adapted(method: str, network: str) -> nn.Module:
    torch.manual_seed(5)
    return adapt(base(network), config(method, network), name=network).eval()


def train(network: str, model: nn.Module, *, seed: int = 0, steps: int = 3) -> set[str]:
    """Some steps towards random targets; returns the names of what had a gradient."""
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(learning.values(), lr=0.01)
    begin_training(model, total_steps=steps)
    touched: set[str] = set()
    model.train()
    for step in range(steps):
        output = answer(network, model, inputs(network, seed=seed + step))
        generator = torch.Generator().manual_seed(seed + step)
        target = torch.randn(output.shape, generator=generator)
        optimizer.zero_grad()
        (output - target).square().mean().backward()
        touched |= {n for n, p in learning.items() if p.grad is not None and p.grad.any()}
        optimizer.step()
        after_step(model, step=step)
    model.eval()
    return touched


def frozen_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def test_the_contract_covers_the_whole_catalogue() -> None:
    assert list(SETTINGS) == list(METHODS)


@pytest.mark.parametrize(("method", "network"), WITHOUT_PLACE)
def test_a_method_that_finds_nothing_to_adapt_is_refused(method: str, network: str) -> None:
    words = WITHOUT_PLACE[method, network]
    with pytest.raises(AdapterError, match=f"{network}: cannot add {method}.*{words}"):
        adapted(method, network)


@every_cell
def test_nothing_changes_before_the_first_step(method: str, network: str) -> None:
    x = inputs(network)
    expected = answer(network, base(network), x)
    is_same = torch.allclose(answer(network, adapted(method, network), x), expected, atol=1e-6)
    assert is_same is (method not in CHANGES_AT_THE_START)


@every_cell
def test_all_that_is_declared_trains_and_nothing_else(method: str, network: str) -> None:
    model = adapted(method, network)
    declared = {name for name, p in model.named_parameters() if p.requires_grad}
    before = frozen_state(model)
    touched = train(network, model) if declared else set[str]()
    assert touched == declared
    assert bool(declared) is (method != "none")
    after = frozen_state(model)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    if method not in ("none", "full"):
        inside = {name for name, p in cast(Any, model).base_model.model.named_parameters()}
        own = {name.removeprefix("base_model.model.") for name in declared}
        original = {name for name, _ in base(network).named_parameters()}
        assert own <= inside
        assert not own & original


@every_adapted_cell
def test_disabling_restores_the_network_exactly(method: str, network: str) -> None:
    model = cast(PeftModel, adapted(method, network))
    train(network, model)
    x = inputs(network)
    expected = answer(network, base(network), x)
    with_adapter = answer(network, model, x)
    assert not torch.allclose(with_adapter, expected, atol=1e-6)
    with model.disable_adapter():
        assert torch.equal(answer(network, model, x), expected)
    assert torch.equal(answer(network, model, x), with_adapter)


@every_adapted_cell
def test_merging_gives_the_same_answers_or_is_refused(method: str, network: str) -> None:
    model = cast(PeftModel, adapted(method, network))
    train(network, model)
    x = inputs(network)
    expected = answer(network, model, x)
    if not METHODS[method].is_foldable:
        refusal = (AdapterError, NotImplementedError)  # ours, or peft's own of a tuner of its own
        for merge in (model.merge_and_unload, model.merge_adapter):
            with pytest.raises(refusal, match=r"cannot merge|not supported"):
                merge()
        assert torch.equal(answer(network, model, x), expected)
        return
    merged = cast(nn.Module, model.merge_and_unload())
    torch.testing.assert_close(answer(network, merged, x), expected, atol=1e-5, rtol=0)
    kinds = [type(module) for module in merged.modules()]
    assert kinds == [type(module) for module in base(network).modules()]


@every_cell
def test_half_precision_gives_finite_numbers(method: str, network: str) -> None:
    model = adapted(method, network).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = answer(network, model, inputs(network))
        loss = output.float().square().mean()
    assert output.isfinite().all()
    if method != "none":
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def is_own(method: str) -> bool:
    return (METHODS[method].config or object).__module__.startswith("evlora.")


HALVES = [
    (method, network, dtype, cast)
    for method, network in ADAPTED
    for dtype in (torch.bfloat16, torch.float16)
    for cast in (True, False)
    if is_own(method)
]


@pytest.mark.parametrize(
    ("method", "network", "dtype", "in_single"),
    slow_but(HALVES, quick=lambda cell: of_a_vit(cell) and cell[2] is torch.bfloat16),
)
def test_our_tuners_take_a_base_in_half_precision(
    method: str, network: str, dtype: torch.dtype, in_single: bool
) -> None:
    frozen = base(network).to(dtype)
    settings = METHODS[method].peft_config(config(method, network).settings(), frozen)
    model = cast(
        nn.Module, get_peft_model(cast(Any, frozen), settings, autocast_adapter_dtype=in_single)
    )
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in learning.values()} == {torch.float32 if in_single else dtype}
    output = answer(network, model.train(), inputs(network).to(dtype))
    assert output.dtype == dtype
    output.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning.values())


@every_adapted_cell
def test_two_adapters_trained_in_turn_do_not_change_each_other(method: str, network: str) -> None:
    model = cast(PeftModel, adapted(method, network))
    train(network, model)
    x = inputs(network)
    expected = answer(network, model, x)
    if method in HAS_ONE_ADAPTER:
        with pytest.raises(ValueError, match=HAS_ONE_ADAPTER[method]):
            model.add_adapter("second", model.peft_config["default"])
        return
    model.add_adapter("second", model.peft_config["default"])
    model.set_adapter("second")
    train(network, model, seed=7)
    second = answer(network, model, x)
    assert not torch.allclose(second, expected, atol=1e-6)
    model.set_adapter("default")
    assert torch.equal(answer(network, model, x), expected)
    train(network, model)
    model.set_adapter("second")
    assert torch.equal(answer(network, model, x), second)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    "method",
    ["lv_adapter", "adaptformer", "ssf", "adapter_plus", "vpt", "st_adapter", "gps", "aim"],
)
def test_our_own_tuners_compile_in_one_piece_and_allow_checkpointing(method: str) -> None:
    model = adapted(method, "vit")
    train("vit", model)
    x = inputs("vit")
    expected = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    learning = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(expected.square().mean(), learning)
    cast(Any, model).base_model.model.set_grad_checkpointing(True)
    again = torch.autograd.grad(model(x).square().mean(), learning)
    torch.testing.assert_close(again, gradients)


SCRIPT = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
folder, support = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, support)
import torch
from adapter_networks import answer, base, inputs
from peft import PeftModel, get_peft_model
from peft.tuners.boft import layer
from safetensors.torch import save_file
layer._FBD_CUDA = False  # no attempt to compile for BOFT
answers = {}
with torch.inference_mode():
    for method, network in json.loads((folder / "cells.json").read_text()):
        model = PeftModel.from_pretrained(base(network), str(folder / f"{method}-{network}")).eval()
        answers[f"{method}-{network}"] = answer(network, model, inputs(network)).clone()
save_file(answers, folder / "answers.safetensors")
"""


@pytest.mark.slow
def test_what_was_saved_answers_the_same_in_a_new_process(tmp_path: Path) -> None:
    expected: dict[str, Tensor] = {}
    for method, network in ADAPTED:
        model = cast(PeftModel, adapted(method, network))
        train(network, model)
        model.save_pretrained(str(tmp_path / f"{method}-{network}"))
        with torch.inference_mode():
            expected[f"{method}-{network}"] = answer(network, model, inputs(network))
    (tmp_path / "cells.json").write_text(json.dumps(ADAPTED))
    script = [
        sys.executable,
        "-c",
        SCRIPT,
        str(tmp_path),
        str(Path(__file__).parents[2] / "support"),
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = load_file(tmp_path / "answers.safetensors")
    for name, tensor in expected.items():
        tolerance = 1e-6 if name.split("-")[0] in IS_SAVED_SMALLER else 0
        torch.testing.assert_close(answers[name], tensor, atol=tolerance, rtol=0)
