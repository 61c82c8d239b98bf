#!/bin/bash
# peft's OFT changes the output of a convolution before any training, and OSF adapts none of them.
#
# A new OFT adapter is the identity: it multiplies the weights by a rotation that starts from zero
# angles (https://huggingface.co/docs/peft/package_reference/oft), and merging it gives back the old
# weights exactly. Yet with the adapter in place the output of a Conv2d, such as a vision
# transformer's patch embedding, is another one before any step: patches are cut out with stride 1,
# rotated and added up where they overlap, so that inner pixels count many times. Training runs on
# another network than the pre-trained one, and what is merged at the end is a third.
# OSF takes the name of a convolution without a word and leaves the layer as it is: nothing trains.
# LoRA on the same layer starts from the same output.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "peft==0.21.2" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import copy
from importlib.metadata import version

import torch
from peft import LoraConfig, OFTConfig, OSFConfig, get_peft_model
from torch import nn

print("peft", version("peft"), "torch", version("torch"))
torch.manual_seed(0)
images = torch.randn(1, 3, 64, 64)
names = ["0"]
configs = {
    "LoRA": LoraConfig(r=4, target_modules=names),
    "OFT": OFTConfig(oft_block_size=0, r=3, target_modules=names),
    "OSF": OSFConfig(target_modules=names),
}
layers = {
    "patch embedding, 16x16, stride 16": nn.Conv2d(3, 32, 16, stride=16),
    "3x3": nn.Conv2d(3, 32, 3, padding=1),
}
with torch.no_grad():
    for layer_name, layer in layers.items():
        before = layer(images)
        for name, config in configs.items():
            model = get_peft_model(nn.Sequential(copy.deepcopy(layer)), config).eval()
            change = float((model(images) - before).abs().max() / before.abs().max())
            trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
            print(f"{layer_name}, {name}: {trained} numbers train, output changed by {change:.0%}")
            if name == "OFT":
                merged = model.merge_and_unload()
                print("    merged, the output is the old one:", torch.equal(merged(images), before))
                assert torch.equal(merged[0].weight, layer.weight)
                assert change > 0.5, "a new OFT adapter no longer changes the output"
            else:
                assert change == 0
            if name == "OSF":
                assert trained == 0, "OSF now trains in a convolution"
            else:
                assert trained > 0
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/check.py"
