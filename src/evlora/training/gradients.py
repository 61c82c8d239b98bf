"""Whether gradients reach all that is trained, and nothing else."""

from torch.nn import Module

from evlora.errors import RunError
from evlora.messages import listed


class GradientGuard:
    """Looks at each step for frozen parts with a gradient, and in an epoch for parts without one.

    Args:
        recognizer: What is trained; its frozen parameters may be replaced later, where several
            devices divide them.
    """

    def __init__(self, recognizer: Module) -> None:
        self._recognizer = recognizer
        parameters = dict(recognizer.named_parameters())
        self._unreached = {name for name, p in parameters.items() if p.requires_grad}
        self._frozen = {name for name, p in parameters.items() if not p.requires_grad}

    def look(self) -> None:
        """Look at the gradients of a step.

        Raises:
            RunError: Something that is frozen has one.
        """
        parameters = dict(self._recognizer.named_parameters())
        reached = [
            name for name, p in parameters.items() if name in self._frozen and p.grad is not None
        ]
        if reached:
            raise RunError(
                f"training: expected gradients of what is trained alone, {len(reached)} frozen "
                f"tensors have one ({listed(reached)}); a callback has set requires_grad or grad "
                "of them: remove it, or train all with model.adapter.method=full"
            )
        if self._unreached:
            self._unreached = {n for n in self._unreached if parameters[n].grad is None}

    def unreached(self) -> str | None:
        """What to report if something that is trained has had no gradient in any step."""
        if not self._unreached:
            return None
        names = sorted(self._unreached)
        return (
            f"{len(names)} trained tensors got no gradient in a whole epoch ({listed(names)}): the "
            "loss does not depend on them, and they stay as they were"
        )
