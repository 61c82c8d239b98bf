"""BOFT (Liu et al., ICLR 2024) of one factor: (s ⊙ W)·R·x + b, R orthogonal and made of blocks.

Its butterflies of more than one factor need a CUDA kernel, and are not offered.
"""

from collections.abc import Generator
from contextlib import contextmanager

from peft import BOFTConfig
from peft.tuners.boft import layer as boft_layer

from evlora.models.adapters.from_peft.oft import divisible_targets
from evlora.models.adapters.method import Method, options_of


@contextmanager
def no_kernel(*_: object) -> Generator[None]:
    """Keep peft from compiling the kernel, which it tries once per layer unless this is set."""
    before = boft_layer._FBD_CUDA  # pyright: ignore[reportPrivateUsage]
    boft_layer._FBD_CUDA = before or False  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        boft_layer._FBD_CUDA = before  # pyright: ignore[reportPrivateUsage]


METHOD = Method(
    BOFTConfig,
    sites="attention",
    settings={"dropout": "boft_dropout"},
    options=options_of(BOFTConfig, block_size="boft_block_size", at_least={"block_size": 2}),
    find_targets=divisible_targets,
    while_adapting=no_kernel,
)
