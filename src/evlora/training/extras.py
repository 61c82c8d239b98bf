"""What a program gives `train` beside the recipe: loggers, callbacks, and the devices to use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from evlora.errors import RunError
from evlora.recipe.schema import TrainingConfig

Devices = int | str | Sequence[int]
"""`auto`, `cpu`, `cuda`, `cuda:1`, a number of devices, or the numbers of GPUs."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What is not in a recipe, since it is an object or belongs to a machine."""

    loggers: tuple[Logger, ...]
    callbacks: tuple[Callback, ...]
    devices: Devices | None

    def accelerator_and_devices(self, training: TrainingConfig) -> tuple[str, Any]:
        """What Lightning's `Trainer` takes under these two names.

        Args:
            training: Holds where nothing was given.

        Raises:
            RunError: The devices are none.
        """
        given = self.devices
        if given is None:
            are_gpus = isinstance(training.devices, list)
            return "gpu" if are_gpus else training.accelerator, training.devices
        if isinstance(given, int) and not isinstance(given, bool) and given > 0:
            return training.accelerator, given
        if isinstance(given, str) and (found := re.fullmatch(r"cuda:(\d{1,4})", given)):
            return "gpu", [int(found[1])]
        if isinstance(given, list | tuple) and given and all(type(one) is int for one in given):
            return "gpu", list(given)
        words = {"auto": ("auto", "auto"), "cpu": ("cpu", 1), "cuda": ("gpu", 1)}
        if isinstance(given, str) and given in words:
            return words[given]
        raise RunError(
            "devices: expected auto, cpu, cuda, cuda:N, a number of devices of 1 or more, or a "
            f"list of numbers of GPUs, got {given!r}"
        )


def extras_of(loggers: Any, callbacks: Any, devices: Devices | None) -> Extras:
    """The extras, checked before anything is built or written.

    Raises:
        RunError: Something is no logger or no callback of Lightning.
    """
    return Extras(
        _instances("loggers", loggers, Logger),
        _instances("callbacks", callbacks, Callback),
        devices,
    )


def _instances(name: str, given: Any, kind: type[Any]) -> tuple[Any, ...]:
    some = tuple(given) if isinstance(given, list | tuple) else (given,)
    for one in some:
        if not isinstance(one, kind):
            raise RunError(
                f"{name}: expected objects of lightning.pytorch's {kind.__name__}, got {one!r} of "
                f"{type(one).__module__}.{type(one).__name__}"
            )
    return some
