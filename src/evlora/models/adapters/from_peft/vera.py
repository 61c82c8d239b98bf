"""VeRA (Kopiczko et al., ICLR 2024): y + b′ ⊙ B·(d ⊙ A·x), A and B random and shared."""

from peft import VeraConfig

from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    VeraConfig,
    sites="both",
    settings={"rank": "r", "dropout": "vera_dropout"},
    options=options_of(VeraConfig, initial_scale="d_initial", seed="projection_prng_key"),
)
