"""SSF's row of the catalogue: γ ⊙ y + β."""

from evlora.models.adapters.method import Method, options_of
from evlora.models.adapters.ssf.config import SsfConfig

METHOD = Method(SsfConfig, options=options_of(SsfConfig, "init_std"))
