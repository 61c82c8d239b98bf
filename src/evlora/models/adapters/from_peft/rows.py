"""The tuners of peft that need no more than a row: name → dataclass, and what suits a ViT.

Each is documented by its paper in docs/adapters.md. Widths of vision transformers are multiples of
64, so sizes that must divide a width are 64 at most. Where peft starts a tuner with random numbers,
the row starts it so that the network is unchanged, if there is such a start.
"""

import peft

from evlora.models.adapters.from_peft import beft, frod, randlora
from evlora.models.adapters.from_peft.row import row_of
from evlora.models.adapters.method import Method

SCHEDULE_OF_ADAMSS = (
    "use_asa",
    "asa_target_subspaces",
    "init_warmup",
    "final_warmup",
    "mask_interval",
    "asa_importance_beta",
    "asa_uncertainty_beta",
    "asa_schedule_exponent",
)
"""What belongs to a callback of transformers' trainer, which evlora does not run."""

ROWS: dict[str, Method] = {
    "adamss": row_of(peft.AdamssConfig, sites="attention", hidden=SCHEDULE_OF_ADAMSS),
    "beft": beft.METHOD,
    "c3a": row_of(peft.C3AConfig, defaults={"block_size": 64, "init": True}),
    "deft": row_of(
        peft.DeftConfig, defaults={"rank": 4}, fixed={"para": False}, hidden=["init_scale"]
    ),
    "delora": row_of(peft.DeloraConfig, defaults={"rank": 4}),
    "fourierft": row_of(peft.FourierFTConfig, fixed={"init_weights": True}),
    "frod": frod.METHOD,
    "glora": row_of(peft.GloraConfig, defaults={"rank": 4, "config_D_E": "vector"}),
    "gralora": row_of(peft.GraloraConfig, defaults={"rank": 4, "alpha": 8}),
    "hira": row_of(peft.HiraConfig, defaults={"rank": 8}),
    "lily": row_of(
        peft.LilyConfig, defaults={"rank": 16}, is_foldable=False, mixes_images=True
    ),  # its router takes the mean over all tokens of the batch
    "loha": row_of(peft.LoHaConfig, defaults={"rank": 4}),
    "lokr": row_of(peft.LoKrConfig),
    "miss": row_of(peft.MissConfig, defaults={"rank": 16}),
    "osf": row_of(peft.OSFConfig, defaults={"effective_rank": 0.98}, hidden=["target_svd_config"]),
    "peanut": row_of(peft.PeanutConfig, defaults={"rank": 8}),
    "psoft": row_of(peft.PsoftConfig, sites="attention"),
    "pvera": row_of(peft.PveraConfig, sites="both"),
    "randlora": randlora.METHOD,
    "road": row_of(peft.RoadConfig),
    "shira": row_of(peft.ShiraConfig, defaults={"rank": 8}, fixed={"mask_type": "random"}),
    "supertuning": row_of(peft.SupertuningConfig, hidden=["save_precomputed_indices"]),
    "tinylora": row_of(peft.TinyLoraConfig, sites="both"),
    "unilora": row_of(peft.UniLoraConfig, hidden=["save_indices"]),
    "vblora": row_of(
        peft.VBLoRAConfig, defaults={"vector_length": 64}, hidden=["save_only_topk_weights"]
    ),
    "waveft": row_of(peft.WaveFTConfig),
}
"""Name → method."""
