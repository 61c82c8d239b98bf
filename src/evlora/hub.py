"""Bundles on the hub: the folder that one is fetched into."""

from pathlib import Path

from evlora.errors import BundleError
from evlora.models.backbone import impatient_hub

FILES = ["*.json", "*.safetensors", "README.md"]
"""What a bundle consists of; nothing else is fetched."""


def fetch_bundle(name: str, *, revision: str | None = None) -> Path:
    """The folder of a bundle on the hub, fetched once and kept in the hub's own cache.

    Args:
        name: USER/NAME.
        revision: A branch, a tag or a commit; the main branch by default.

    Raises:
        BundleError: There is none, or the hub does not answer and it was not fetched before.
    """
    from huggingface_hub import snapshot_download  # its client takes a tenth of a second

    try:
        with impatient_hub():
            return Path(snapshot_download(name, revision=revision, allow_patterns=FILES))
    except (OSError, ValueError) as error:  # the hub's own errors are of these
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{name}: expected a bundle's folder, or a bundle of this name on the hub or in its "
            f"cache, found neither: {reason}; check the path, the name and the network"
        ) from error
