"""BitFit (Ben Zaken et al., ACL 2022), SSF's half: y + β where a layer has a bias."""

from evlora.models.adapters.method import Method
from evlora.models.adapters.ssf.config import SsfConfig

METHOD = Method(SsfConfig, fixed={"scale": False})
