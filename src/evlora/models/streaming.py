"""A network while the camera runs: every image is encoded once, and the last T are joined anew.

What a moment leaves behind in each view is kept until the clip has moved past it. Their mean is
taken from what is kept, not updated by what comes and goes, so that it is as exact after a million
moments as after the first.
"""

from collections import deque

import torch
from torch import Tensor

from evlora.errors import RecipeError, ShapeError
from evlora.models.network import MomentwiseNetwork, Network
from evlora.tensors import require_shape


class StreamingNetwork:
    """Answers after each moment as the network answers to the clip of the last T.

    A new moment costs one image in each view, and one decision. The clip is the newest moment and
    those `stride`, 2·`stride`, … pushes before it, T in all, or as many as there are yet. The
    difference is that between neighbours in the clip; T moments have T−1 of them.

    A network whose adapters see time, or mix images, encodes all T moments for each answer: what it
    makes of one depends on those around it.

    Args:
        network: One that looks at each moment by itself; it is put into evaluation mode.
        frames: T, the moments of a clip.
        stride: Pushes from a moment of a clip to the next one.

    Raises:
        RecipeError: The network sees whole clips only.
        ShapeError: It does not answer to clips of T moments, or a number is less than 1.
    """

    def __init__(self, network: Network, *, frames: int, stride: int = 1) -> None:
        if not isinstance(network, MomentwiseNetwork):
            raise RecipeError(
                "live: expected a network that looks at each moment by itself, such as velora or "
                f"single_stream, got {type(network).__name__}; predict whole recordings instead"
            )
        if stride < 1:
            raise ShapeError(f"stride: expected at least 1 push between moments, got {stride}")
        if frames < network.least_moments:
            raise ShapeError(
                f"clip.frames: this network answers to clips of at least {network.least_moments} "
                f"moments, got {frames}; set clip.frames to what it was built for"
            )
        self.network = network.eval()
        self.frames = frames
        self.stride = stride
        # Adapters that see time make something else of a moment when the next one is there.
        self._encodes_clips = not network.encodes_alone
        self.reset()

    def reset(self) -> None:
        """Forget all moments: what comes next is the first of another recording."""
        self._pushed = 0
        reach = (self.frames - 1) * self.stride + 1 if self._encodes_clips else self.stride
        self._images: deque[dict[str, Tensor]] = deque(maxlen=reach)
        self._encoded: dict[str, deque[Tensor]] = {}

    @property
    def moments(self) -> int:
        """How many moments the clip has by now, 0…T."""
        return min(self.frames, -(-self._pushed // self.stride))

    @torch.inference_mode()
    def push(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Tensor | None:
        """The scores after one more moment.

        Args:
            rgb: The new frame, shape (3, H, W), uint8 or normalised.
            events: Its event image, the same way.

        Returns:
            Shape (K,); None while there are fewer moments than the network answers to: a
            difference needs two, and a temporal transformer all T.

        Raises:
            ShapeError: A modality is missing, or shapes differ.
        """
        self.network.eval()  # whoever trains it between two pushes gets no dropout here
        self.encode(rgb, events)
        return self.decide()

    @torch.inference_mode()
    def encode(self, rgb: Tensor | None = None, events: Tensor | None = None) -> None:
        """The first half of a push: take the moment in, and encode it in each view."""
        given = {"rgb": rgb, "events": events}
        now = {name: self._prepared(x, name) for name, x in given.items() if x is not None}
        if self._encodes_clips:
            alone = {name: x[None, None] for name, x in now.items()}  # (1, 1, 3, H, W)
            self.network.images_by_modality(alone.get("rgb"), alone.get("events"))
            self._images.append(now)
            self._pushed += 1
            return
        has_step = len(self._images) == self.stride
        before = self._images[0] if has_step else now
        pair = {name: torch.stack([before.get(name, x), x])[None] for name, x in now.items()}
        seen = self.network.images_by_view(pair.get("rgb"), pair.get("events"))  # (1, ≤2, 3, H, W)
        # Of two moments a view has two images, or the one step between them.
        lengths = {name: self.frames - 2 + x.shape[1] for name, x in seen.items()}
        new = {name: x[:, -1:] for name, x in seen.items() if has_step or x.shape[1] == 2}
        for name, encoded in self.network.encode(new).items():
            if name not in self._encoded:
                reach = (lengths[name] - 1) * self.stride + 1
                self._encoded[name] = deque(maxlen=reach)
            self._encoded[name].append(encoded)
        self._images.append(now)
        self._pushed += 1

    @torch.inference_mode()
    def decide(self) -> Tensor | None:
        """The second half of a push: the scores of the clip as it is now; see `push`."""
        if self.moments < self.network.least_moments:
            return None
        if self._encodes_clips:
            seen = list(self._images)[:: -self.stride][::-1]
            whole = {name: torch.stack([x[name] for x in seen])[None] for name in seen[0]}
            return self.network.answer(whole.get("rgb"), whole.get("events"))[0]
        clip = {
            name: torch.cat(list(kept)[:: -self.stride][::-1], dim=1)
            for name, kept in self._encoded.items()
        }  # (1, T, …)
        return self.network.decide(self.network.over_time(clip))[0]

    def _prepared(self, image: Tensor, name: str) -> Tensor:
        before = self._images[-1].get(name) if self._images else None
        sizes = {} if before is None else dict(zip("HW", before.shape[1:], strict=True))
        require_shape(image, "3 H W", name=name, **sizes)
        image = image.to(next(self.network.parameters()).device)
        return image if image.is_floating_point() else self.network.normalize(image)
