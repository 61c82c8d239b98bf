"""VELoRA written a second time, as plainly as it goes, for the first to be held against.

One clip, one image, one patch and one head of attention after the other, on tensors taken by name
out of a network's state; nothing of it is run: no view, no adapter of peft, no block of timm.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evlora.models import AdapterConfig, VELoRAConfig

NORM_EPS = 1e-5  # CLIP's
PATCHES = "patch_embed.proj"


@dataclass
class PlainVELoRA:
    """The network as arithmetic.

    Args:
        tensors: By their names in the network's state.
        config: Adapters and stages.
        modalities: What is seen.
        depth: Blocks of the backbone.
        heads: Of each attention.
        learns: Whether this is a step of training.
    """

    tensors: Mapping[str, Tensor]
    config: VELoRAConfig
    modalities: tuple[str, ...]
    depth: int
    heads: int
    learns: bool = False

    def __call__(
        self, images: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Scores, loss terms and each view's own scores; clips are (B, T, 3, H, W) by modality."""
        both = len(self.modalities) == 2
        clips = [
            {name: images[name][number] for name in self.modalities}
            for number in range(len(images[self.modalities[0]]))
        ]
        scores, squares = [], []
        by_view: dict[str, list[Tensor]] = {}
        for clip in clips:
            pictures = {name: list(clip[name]) for name in self.modalities}
            if both and self.config.difference:
                # The order is that of φ, [Δ; R; E].
                pictures = {"difference": differences(clip["rgb"], clip["event"]), **pictures}
            tokens = {name: self.seen_by(name, shown) for name, shown in pictures.items()}
            if both and self.config.reconstruction:
                for known, hidden in (("event", "rgb"), ("rgb", "event")):
                    reconstructed = self.block(self.rho, tokens[known], self.config.adapter)
                    target = tokens[hidden]
                    if self.config.fixed_targets:
                        target = target.detach()
                    squares.append((reconstructed - target) ** 2)
            shared: dict[str, Tensor] = {}
            used = list(tokens)
            if both and self.config.shared_stage:
                shared, used = self.shared_stage(tokens), list(self.modalities)
            features = [self.high(name, tokens[name], shared.get(name)) for name in used]
            joined = torch.cat(features)
            weight, bias = self.tensors["head.weight"], self.tensors["head.bias"]
            scores.append(weight @ joined + bias)
            if len(used) > 1:
                for number, (name, feature) in enumerate(zip(used, features, strict=True)):
                    first = number * len(feature)
                    own = weight[:, first : first + len(feature)] @ feature + bias
                    by_view.setdefault(name, []).append(own)
        own_scores = {name: torch.stack(own) for name, own in by_view.items()}
        if not squares:
            return torch.stack(scores), {}, own_scores
        # Two means over the batch, one for each direction.
        term = 2 * sum(square.sum() for square in squares) / sum(s.numel() for s in squares)
        return torch.stack(scores), {"reconstruction": term}, own_scores

    def inside(self, name: str) -> str:
        """Where the tensors of a backbone or a block lie, with or without a peft model around."""
        within = f"{name}.base_model.model."
        return within if any(key.startswith(within) for key in self.tensors) else f"{name}."

    @property
    def rho(self) -> str:
        return self.inside("reconstruction.rho")

    def seen_by(self, view: str, pictures: list[Tensor]) -> Tensor:
        """The tokens of a view over its pictures, with its embedding, shape (N, D)."""
        vit = self.inside(f"views.{view}.adapted")
        moments: list[Tensor] = []
        for picture in pictures:
            x = self.patches(vit, picture)
            places = self.active_places(view, picture, patches=len(x) - 1)
            if places is not None:
                blank = [1 + place for place in range(len(x) - 1) if place not in places]
                rest = sum(x[row] for row in blank) / len(blank)
                x = torch.stack([x[0], *(x[1 + place] for place in places), rest])
            for number in range(self.depth - self.config.high_blocks):
                x = self.block(f"{vit}blocks.{number}.", x, self.config.adapter)
            if places is not None:
                rows = {place: 1 + number for number, place in enumerate(places)}
                everywhere = len(places) + len(blank)
                x = torch.stack([x[0], *(x[rows.get(place, -1)] for place in range(everywhere))])
            moments.append(x)
        joined = sum(moments) / len(moments) + self.beside_mean(view, moments)
        return joined + self.tensors[f"views.{view}.embedding"]

    def beside_mean(self, view: str, moments: list[Tensor]) -> Tensor:
        """What is kept of the moments beside their mean, each through its pair, shape (N, D)."""
        kept = torch.zeros_like(moments[0])
        for name in self.config.beside_mean:
            middle = (len(moments) - 1) / 2
            if name == "trend":
                length = sum(abs(place - middle) for place in range(len(moments))) or 1.0
                statistic = sum((p - middle) * x for p, x in enumerate(moments)) / length
            else:
                steps = [(after - x).abs() for x, after in itertools.pairwise(moments)]
                statistic = sum(steps) / max(1, len(steps)) + torch.zeros_like(moments[0])
            down, up = (
                self.tensors[f"views.{view}.over_time.statistics.{name}.{place}.weight"]
                for place in (1, 2)
            )
            kept = kept + statistic @ down.T @ up.T
        return kept

    def active_places(self, view: str, picture: Tensor, *, patches: int) -> list[int] | None:
        """Which patches of an event image or difference are seen by themselves; None is all."""
        count = self.config.active_patches
        if view == "difference" and self.config.active_difference_patches is not None:
            count = self.config.active_difference_patches
        if view == "rgb" or count is None or count >= patches:
            return None
        if not self.learns and not self.config.thin_answers:
            return None
        number = picture[0].numel()
        # The lower one of the two in the middle, since their number is even.
        middle = [float(channel.flatten().sort().values[number // 2 - 1]) for channel in picture]
        blank = torch.tensor(middle if view == "event" else [0.0] * 3)[:, None, None]
        activity = [
            sum(round(256 * value) for value in patch.flatten().tolist())
            for patch in cut((picture - blank).abs(), self.patch_size(view))
        ]
        ranked = sorted(range(patches), key=lambda place: (-activity[place], place))
        return sorted(ranked[:count])

    def patch_size(self, view: str) -> int:
        return self.layer(self.inside(f"views.{view}.adapted") + PATCHES)[0].shape[-1]

    def patches(self, vit: str, picture: Tensor) -> Tensor:
        """Class token and patches with their positions, shape (N, D)."""
        size = self.layer(vit + PATCHES)[0].shape[-1]
        flat = torch.stack([patch.flatten() for patch in cut(picture, size)])
        embedded = self.linear(vit + PATCHES, flat, self.config.adapter)
        tokens = torch.cat([self.tensors[f"{vit}cls_token"][0], embedded])
        return self.norm(f"{vit}norm_pre", tokens + self.tensors[f"{vit}pos_embed"][0])

    def block(self, name: str, x: Tensor, adapter: AdapterConfig) -> Tensor:
        """A transformer block, shape (N, D) in and out."""
        x = x + self.attention(f"{name}attn.", self.norm(f"{name}norm1", x), adapter)
        hidden = self.linear(f"{name}mlp.fc1", self.norm(f"{name}norm2", x), adapter)
        return x + self.linear(f"{name}mlp.fc2", quick_gelu(hidden), adapter)

    def attention(self, name: str, x: Tensor, adapter: AdapterConfig) -> Tensor:
        queries, keys, values = self.linear(f"{name}qkv", x, adapter).chunk(3, dim=1)
        width = x.shape[1] // self.heads
        heads = []
        for number in range(self.heads):
            part = slice(number * width, (number + 1) * width)
            likeness = queries[:, part] @ keys[:, part].T / math.sqrt(width)
            weight = likeness.exp()
            heads.append(weight / weight.sum(dim=1, keepdim=True) @ values[:, part])
        return self.linear(f"{name}proj", torch.cat(heads, dim=1), adapter)

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        spread = (centred**2).mean(dim=1, keepdim=True) + NORM_EPS
        return (
            centred / spread.sqrt() * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        )

    def linear(self, name: str, x: Tensor, adapter: AdapterConfig) -> Tensor:
        """A linear layer with whatever adapter it carries; of patches, their convolution."""
        weight, bias = self.layer(name)
        weight = weight.flatten(1)
        if f"{name}.weight" in self.tensors:
            return x @ weight.T + bias
        vector = self.tensors.get(f"{name}.lv_adapter_vector.default")
        if vector is not None:  # v ⊙ (W·x + b) + s·B·A·x + c, with v = 1 + t·(stored − 1)
            scale = adapter.settings().options.vector_scale
            shift = scale * self.tensors.get(f"{name}.lv_adapter_shift.default", torch.zeros(1))
            vector = 1 + scale * (vector - 1)
            return vector * (x @ weight.T + bias) + self.pair(name, x, adapter) + shift
        magnitude = self.tensors.get(f"{name}.lora_magnitude_vector.default.weight")
        if magnitude is not None:  # m ⊙ (W + ΔW)·x / ‖W + ΔW‖, the norm taken as a constant
            changed = weight + self.pair(name, torch.eye(weight.shape[1]), adapter).T
            lengths = (changed.detach() ** 2).sum(dim=1).sqrt()
            return (magnitude / lengths) * (x @ changed.T) + bias
        return x @ weight.T + bias + self.pair(name, x, adapter)

    def layer(self, name: str) -> tuple[Tensor, Tensor]:
        """The weight and the bias of a layer, adapted or not; zeros where it has none."""
        name = name if f"{name}.weight" in self.tensors else f"{name}.base_layer"
        weight = self.tensors[f"{name}.weight"]
        return weight, self.tensors.get(f"{name}.bias", torch.zeros(len(weight)))

    def pair(self, name: str, x: Tensor, adapter: AdapterConfig) -> Tensor:
        """What the low-rank pair of a layer adds."""
        if adapter.method == "lv_adapter":
            down = self.tensors[f"{name}.lv_adapter_down.default.weight"]
            up = self.tensors[f"{name}.lv_adapter_up.default.weight"]
            return adapter.settings().options.scale * (x @ down.T @ up.T)
        settings = adapter.settings()
        if adapter.method == "adalora":
            a = self.tensors[f"{name}.lora_A.default"] * self.tensors[f"{name}.lora_E.default"]
            b = self.tensors[f"{name}.lora_B.default"]
            ranks = self.tensors[f"{name}.ranknum.default"]
            return x @ a.T @ b.T * settings.alpha / (ranks + 1e-5)  # peft's guard against 0
        a, b = (self.tensors[f"{name}.lora_{letter}.default.weight"].flatten(1) for letter in "AB")
        return x @ a.T @ b.T * settings.alpha / settings.rank

    def shared_stage(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """γ ⊙ Z_m + S(Z_m) of each modality, where Z = φ([Δ; R; E])."""
        phi, adapter = self.inside("shared_stage.phi"), self.config.shared_adapter
        z = self.block(phi, torch.cat(list(tokens.values())), adapter)
        shared, start = {}, 0
        for name, x in tokens.items():
            part = z[start : start + len(x)]
            start += len(x)
            if name in self.modalities:
                hidden = quick_gelu(self.pair(f"{phi}mlp.fc1", part, adapter))
                branch = self.pair(f"{phi}mlp.fc2", hidden, adapter)
                shared[name] = self.tensors[f"shared_stage.gates.{name}"] * part + branch
        return shared

    def high(self, view: str, x: Tensor, shared: Tensor | None) -> Tensor:
        """The high-level blocks, what is shared added to each FFN, and one vector, shape (D,)."""
        vit = self.inside(f"views.{view}.adapted")
        # The difference has no high-level part.
        last = self.depth if view != "difference" else self.depth - self.config.high_blocks
        for number in range(self.depth - self.config.high_blocks, last):
            x = self.block(f"{vit}blocks.{number}.", x, self.config.adapter)
            x = x if shared is None else x + shared
        x = self.norm(f"{vit}norm", x)
        return x[0] if self.config.pool == "token" else x[1:].mean(dim=0)


def differences(rgb: Tensor, event: Tensor) -> list[Tensor]:
    """|r_t − r_{t−1}| + |e_t − e_{t−1}| of one clip, shape (T, 3, H, W) each."""
    return [
        (rgb[t] - rgb[t - 1]).abs() + (event[t] - event[t - 1]).abs() for t in range(1, len(rgb))
    ]


def cut(picture: Tensor, size: int) -> list[Tensor]:
    """The patches of a picture, row by row, shape (3, p, p) each."""
    return [
        picture[:, top : top + size, left : left + size]
        for top in range(0, picture.shape[1], size)
        for left in range(0, picture.shape[2], size)
    ]


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + (-1.702 * x).exp())


def cross_entropy(scores: Tensor, labels: list[int]) -> Tensor:
    losses = [row.exp().sum().log() - row[label] for row, label in zip(scores, labels, strict=True)]
    return torch.stack(losses).mean()
