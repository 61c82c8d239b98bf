"""Ladder Side-Tuning as a peft tuner."""

from typing import Any

from peft import PeftConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import blocks_of, names_of_blocks, width_of
from evlora.models.adapters.lst.layer import LstLayer, Side
from evlora.models.adapters.tuners import UnfoldableTuner


class LstModel(UnfoldableTuner):
    """A network with a ladder beside its blocks (Sung et al., NeurIPS 2022)."""

    prefix: str = "lst_"
    tuner_layer_cls = LstLayer
    unfoldable_because = "it is a network of its own beside the blocks"

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        super()._prepare_model(peft_config, model)
        blocks = [
            block
            for block in enumerate(blocks_of(model))
            if self._check_target_module_exists(peft_config, block[1].name)
        ]
        joins = {*peft_config.joins}
        ladders: list[list[str]] = []
        width = None
        begins = True
        for number, block in blocks:
            its_width = width_of(block.module)
            if begins or its_width != width:  # stages of Swin have widths of their own
                ladders.append([])
            ladders[-1].append(block.name)
            width, begins = its_width, number in joins
        ends = {ladder[0] for ladder in ladders}, {ladder[-1] for ladder in ladders}
        if "_ends" not in self.__dict__:
            self._ends = ends
            self._side = Side()
        elif ends != self._ends:
            raise AdapterError(
                "lst: expected a second adapter whose side network begins and joins behind the "
                f"same blocks as the first one's, got joins: {peft_config.joins}"
            )

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """All transformer blocks."""
        return names_of_blocks(model, "lst stands beside")

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> LstLayer:
        """The block with a rung beside it."""
        begins, joins = (path in ends for ends in self._ends)
        return LstLayer(target, adapter_name, config, side=self._side, begins=begins, joins=joins)
