"""What the fast functions need of a layer, read from the module tree as peft left it.

A layer that is not of a known kind, or whose state is not (hooks, several adapters in turn, a
variant of LoRA), gives None: whoever asks then calls the layer itself. So nothing that is saved,
merged, switched or loaded has to know of the fast functions.
"""

from typing import Any, cast

from peft.tuners.ln_tuning.layer import LNTuningLayer
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import Conv2d as LoraConvolution
from peft.tuners.lora.layer import Linear as LoraLinear
from timm.layers.norm import LayerNorm
from torch import Tensor, nn

from evlora.models.adapters.lv_adapter import LvAdapterLayer
from evlora.models.adapters.ssf import SsfLayer
from evlora.models.fast.convolution import AdaptedConvolution, ConvolutionPair
from evlora.models.fast.linear import AdaptedLinear, Pair
from evlora.models.fast.norm import Norm

MOST_DROPPED = 0.5
"""Above this rate of dropout a mask is cheaper than a list of the dropped entries."""


def linear_of(module: nn.Module | None) -> AdaptedLinear | None:
    """A frozen linear layer with its active adapters, or None where the module is anything else."""
    if module is None or has_hooks(module):
        return None
    if type(module) is nn.Linear:
        return None if module.weight.requires_grad else _frozen(module)
    if type(module) is LoraLinear:
        return _with_lora(module)
    if type(module) is LvAdapterLayer:
        return _with_lv_adapter(module)
    if type(module) is SsfLayer:
        return _with_ssf(module)
    return None


def convolution_of(module: nn.Module) -> AdaptedConvolution | None:
    """A frozen convolution with its active pairs, or None where the module is anything else."""
    if type(module) is not LoraConvolution or has_hooks(module):
        return None
    base, names = cast(Any, module.base_layer), _active(module, module.lora_A)
    if type(base) is not nn.Conv2d or has_hooks(base) or not names:
        return None
    is_simple = base.groups == 1 and base.dilation == (1, 1) and base.padding_mode == "zeros"
    if not is_simple or isinstance(base.padding, str) or base.weight.requires_grad:
        return None
    pairs: list[ConvolutionPair] = []
    for name in names:
        if _dropout(module.lora_dropout[name]) != 0 or not _is_plain_lora(module, name):
            return None
        down, up = cast(Any, module.lora_A[name]).weight, cast(Any, module.lora_B[name]).weight
        pairs.append(ConvolutionPair(down, up.flatten(1), module.scaling[name]))
    return AdaptedConvolution(base.weight, base.bias, tuple(pairs), base.stride, base.padding)


def norm_of(module: nn.Module | None) -> Norm | None:
    """A layer norm, frozen or trained, or None where the module is anything else."""
    if module is None or has_hooks(module):
        return None
    if isinstance(module, LNTuningLayer):
        layer = cast(Any, module)
        if layer.disable_adapters or layer.merged:
            return norm_of(layer.base_layer)
        return norm_of(layer.ln_tuning_layers[layer.active_adapters[0]])
    if type(module) is SsfLayer:
        norm = norm_of(module.base_layer)
        names = _active(module, module.ssf_scale, module.ssf_shift)
        if norm is None or names is None:
            return None
        for name in names:
            norm = Norm(*_scaled_and_shifted(module, name, norm.weight, norm.bias), norm.eps)
        return norm
    if type(module) not in (nn.LayerNorm, LayerNorm):
        return None
    norm = cast(nn.LayerNorm, module)
    is_whole = len(norm.normalized_shape) == 1 and not getattr(norm, "_fast_norm", False)
    weight, bias = cast(tuple[Tensor | None, Tensor | None], (norm.weight, norm.bias))
    if not is_whole or weight is None or bias is None:
        return None
    return Norm(weight, bias, norm.eps)


def is_idle(module: nn.Module) -> bool:
    """Whether a module gives what it is given: no dropout, or none in this mode."""
    if has_hooks(module):
        return False
    rate = getattr(module, "drop_prob", getattr(module, "p", None))
    return isinstance(module, nn.Identity) or (
        rate is not None and (rate == 0 or not module.training)
    )


def has_hooks(module: nn.Module, *, own: int = 0) -> bool:
    """Whether calling the module does more than its `forward`, and than some hooks of its own."""
    layer = cast(Any, module)
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    return sum(map(len, hooks)) > own


def _frozen(layer: nn.Linear) -> AdaptedLinear:
    return AdaptedLinear(layer.weight, layer.bias, None, ())


def _base(layer: Any) -> AdaptedLinear | None:
    base = layer.base_layer
    return linear_of(base) if type(base) is nn.Linear else None


def _active(layer: Any, *holders: Any) -> list[str] | None:
    """The active adapters that one of these holds; None where the layer's state is not covered."""
    if layer.disable_adapters:
        return None if layer.merged else []
    if layer.merged:
        return []
    return [name for name in layer.active_adapters if any(name in holder for holder in holders)]


def _with_lora(layer: LoraLinear) -> AdaptedLinear | None:
    base, names = _base(layer), _active(layer, layer.lora_A)
    if base is None or names is None or layer.fan_in_fan_out:
        return None
    pairs: list[Pair] = []
    for name in names:
        rate = _dropout(layer.lora_dropout[name])
        if rate is None or not _is_plain_lora(layer, name):
            return None
        down, up = cast(Any, layer.lora_A[name]).weight, cast(Any, layer.lora_B[name]).weight
        pairs.append(Pair(down, up, rate, layer.scaling[name]))
    return base._replace(pairs=tuple(pairs))


def _is_plain_lora(layer: LoraLayer, name: str) -> bool:
    return not (name in layer.lora_variant or layer.lora_bias[name])


def _with_lv_adapter(layer: LvAdapterLayer) -> AdaptedLinear | None:
    base, names = _base(layer), _active(layer, layer.lv_adapter_config)
    if base is None or names is None or len(names) > 1:
        return None
    for name in names:
        config = layer.lv_adapter_config[name]
        if config.activation != "none" or config.has_input_vector:
            return None
        if name in layer.lv_adapter_vector:
            vector = layer.output_vector(name)
            bias = None if base.bias is None else vector * base.bias
            base = base._replace(vector=vector, bias=bias)
        if name in layer.lv_adapter_shift:
            shift = layer.shift(name)
            base = base._replace(bias=shift if base.bias is None else base.bias + shift)
        if name in layer.lv_adapter_down:
            rate = _dropout(layer.lv_adapter_dropout[name])
            if rate is None:
                return None
            down = cast(nn.Linear, layer.lv_adapter_down[name]).weight
            up = cast(nn.Linear, layer.lv_adapter_up[name]).weight
            base = base._replace(pairs=(Pair(down, up, rate, config.scale),))
    return base


def _with_ssf(layer: SsfLayer) -> AdaptedLinear | None:
    base, names = _base(layer), _active(layer, layer.ssf_scale, layer.ssf_shift)
    if base is None or names is None:
        return None
    for name in names:
        vector, bias = _scaled_and_shifted(layer, name, base.vector, base.bias)
        base = base._replace(vector=vector, bias=bias)
    return base


def _scaled_and_shifted(layer: SsfLayer, name: str, weight: Any, bias: Any) -> tuple[Any, Any]:
    """γ ⊙ weight and γ ⊙ bias + β, of which each may be missing."""
    if name in layer.ssf_scale:
        scale = layer.ssf_scale[name]
        weight = scale if weight is None else weight * scale
        bias = None if bias is None else bias * scale
    if name in layer.ssf_shift:
        shift: Tensor = layer.ssf_shift[name]
        bias = shift if bias is None else bias + shift
    return weight, bias


def _dropout(module: nn.Module) -> float | None:
    """The rate at which a pair drops entries now; None where that is not covered."""
    if is_idle(module):
        return 0.0
    rate = module.p if type(module) is nn.Dropout else 1.0
    return rate if rate <= MOST_DROPPED else None
