#!/bin/bash
# peft's Lily gives a sample another output when other samples are in the same batch.
#
# A Lily layer (https://huggingface.co/docs/peft/package_reference/lily) shares its B matrices among
# layers, and weighs them by what a router makes of the layer's input. The router's weights are
# averaged over all tokens of all samples of a call, and the one mixture is applied to every sample.
# So in evaluation, without dropout, what the model answers to a sample depends on what lies beside
# it: a score of a test set changes with the batch size and the order, and a sample alone is answered
# differently from the same sample in a batch. LoRA on the same layers answers both alike, to
# rounding. The weights of a Lily adapter start at zero, so this shows once it has been trained; here
# they are drawn at random.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "peft==0.21.2" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
from importlib.metadata import version

import torch
from peft import LilyConfig, LoraConfig, get_peft_model
from torch import nn

print("peft", version("peft"), "torch", version("torch"))
configs = {
    "LoRA": LoraConfig(r=8, target_modules=["0", "2"]),
    "Lily": LilyConfig(r=8, num_B=4, target_modules=["0", "2"]),
}
for name, config in configs.items():
    torch.manual_seed(0)
    model = get_peft_model(nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)), config)
    model.eval()
    tokens = torch.randn(8, 5, 16)  # 8 samples of 5 tokens
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
        together = model(tokens)
        alone = torch.cat([model(tokens[i : i + 1]) for i in range(8)])
        halves = torch.cat([model(half) for half in tokens.chunk(2)])
    for what, other in (("each sample alone", alone), ("two batches of four", halves)):
        change = float((together - other).abs().max() / together.abs().max())
        print(f"{name}, a batch of eight against {what}: outputs differ by {change:.2%}")
        if name == "Lily":
            assert change > 1e-3, "Lily's output no longer depends on the rest of the batch"
        else:
            assert change < 1e-5
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/check.py"
