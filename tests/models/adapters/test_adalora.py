"""AdaLoRA's schedule: ranks are spent, survive saving, and a resumed run chooses the same."""

import copy
from pathlib import Path
from typing import cast

import pytest
import torch
from adapter_networks import base, inputs
from peft import PeftModel
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import (
    AdapterConfig,
    adapt,
    after_step,
    before_saving,
    begin_training,
    load_training_state,
    training_state,
)

STEPS = 12


def network() -> nn.Module:
    torch.manual_seed(2)
    config = AdapterConfig(method="adalora", rank=2, dropout=0, options={"initial_rank": 4})
    return adapt(base("vit"), config, name="vit")


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.zero_grad()
        model(inputs("vit", seed=step)).square().mean().backward()
        optimizer.step()
        after_step(model, step=step)


def ranks(model: nn.Module) -> list[int]:
    values = [p for name, p in model.named_parameters() if "lora_E" in name]
    return [int((tensor != 0).sum()) for tensor in values]


def test_the_ranks_shrink_to_the_budget() -> None:
    model = network()
    optimizer = torch.optim.Adam(learning(model).values(), lr=0.01)
    begin_training(model, total_steps=STEPS)
    steps(model, optimizer, 0, 2)
    assert ranks(model) == [4, 4, 4, 4]
    steps(model, optimizer, 2, STEPS)
    assert sum(ranks(model)) == 4 * 2


@pytest.mark.parametrize("stopped", [1, 5, 10])
def test_a_resumed_run_ends_where_an_unbroken_one_does(stopped: int) -> None:
    unbroken = network()
    optimizer = torch.optim.Adam(learning(unbroken).values(), lr=0.01)
    begin_training(unbroken, total_steps=STEPS)
    steps(unbroken, optimizer, 0, stopped)
    saved = {name: p.detach().clone() for name, p in learning(unbroken).items()}
    saved_optimizer = copy.deepcopy(optimizer.state_dict())
    saved_state = {name: tensor.clone() for name, tensor in training_state(unbroken).items()}
    steps(unbroken, optimizer, stopped, STEPS)

    resumed = network()
    with torch.no_grad():
        for name, parameter in learning(resumed).items():
            parameter.copy_(saved[name])
    optimizer = torch.optim.Adam(learning(resumed).values(), lr=0.01)
    optimizer.load_state_dict(saved_optimizer)
    begin_training(resumed, total_steps=STEPS)
    load_training_state(resumed, saved_state)
    steps(resumed, optimizer, stopped, STEPS)
    for name, parameter in learning(unbroken).items():
        assert torch.equal(learning(resumed)[name], parameter)


# peft 0.21 looks for AdaLoRA's ranks among the names of layers, which they are not
@pytest.mark.filterwarnings("ignore:The following rank_pattern keys did not match:RuntimeWarning")
def test_a_layer_that_lost_all_its_ranks_is_saved_and_loaded(tmp_path: Path) -> None:
    model = cast(PeftModel, network().eval())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_E" in name and "blocks.1" in name:
                parameter[1].fill_(3.0)
    before_saving(model)
    model.save_pretrained(str(tmp_path))
    again = PeftModel.from_pretrained(base("vit"), str(tmp_path)).eval()
    torch.testing.assert_close(again(inputs("vit")), model(inputs("vit")))
    assert ranks(again) == [0, 0, 1, 1]


def test_too_few_steps_for_a_schedule_are_refused() -> None:
    with pytest.raises(AdapterError, match=r"expected 3 training steps or more.*got 2"):
        begin_training(network(), total_steps=2)


def test_other_methods_are_unchanged() -> None:
    model = adapt(base("vit"), AdapterConfig(), name="vit")
    begin_training(model, total_steps=1)
    after_step(model, step=0)
    assert training_state(model) == {}
