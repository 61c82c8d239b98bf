"""The table of methods."""

from evlora.models.adapters import (
    adapter_plus,
    adaptformer,
    aim,
    gps,
    lst,
    lv_adapter,
    ssf,
    st_adapter,
    vpt,
)
from evlora.models.adapters.from_peft import (
    adalora,
    boft,
    dora,
    hra,
    ia3,
    ln_tuning,
    lora,
    lora_fa,
    oft,
    vera,
)
from evlora.models.adapters.from_peft.rows import ROWS
from evlora.models.adapters.method import Method
from evlora.models.adapters.ssf import bitfit

METHODS: dict[str, Method] = {
    "none": Method(),
    "full": Method(trains_backbone=True),
    "lora": lora.METHOD,
    "dora": dora.METHOD,
    "adalora": adalora.METHOD,
    "lora_fa": lora_fa.METHOD,
    "vera": vera.METHOD,
    "ia3": ia3.METHOD,
    "oft": oft.METHOD,
    "boft": boft.METHOD,
    "hra": hra.METHOD,
    "ln_tuning": ln_tuning.METHOD,
    "bitfit": bitfit.METHOD,
    "lv_adapter": lv_adapter.METHOD,
    "adaptformer": adaptformer.METHOD,
    "ssf": ssf.METHOD,
    "adapter_plus": adapter_plus.METHOD,
    "vpt": vpt.METHOD,
    "st_adapter": st_adapter.METHOD,
    "aim": aim.METHOD,
    "lst": lst.METHOD,
    "gps": gps.METHOD,
    **ROWS,
}
"""Name → method: `none` trains the head alone (a linear probe), `full` the whole backbone."""
