"""A recognizer with the methods of huggingface_hub: saved, fetched and pushed as its libraries do.

What lies on the hub is a bundle, file by file.
"""

from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelHubMixin

from evlora.bundle import load_bundle, save_bundle
from evlora.bundle_backbone import OWN_BACKBONE
from evlora.bundle_description import read_origin
from evlora.bundle_place import DESCRIPTION
from evlora.errors import BundleError
from evlora.files import writing_folder
from evlora.hub import fetch_bundle
from evlora.messages import listed
from evlora.recognizer import Recognizer

CONTENT = {DESCRIPTION, "adapters", "head.safetensors", OWN_BACKBONE, "README.md"}
"""What a folder may hold that is replaced."""


class Pretrained(ModelHubMixin):
    """A recognizer under the conventions of the hub; `recognizer` is the recognizer itself.

    `save_pretrained(folder)` writes its bundle, `push_to_hub("user/name")` puts it on the hub, and
    `from_pretrained` takes a folder or a name on the hub.

    Args:
        recognizer: What to save or push.
        bundle: The bundle that it came from, whose recipe and metrics are kept.
        with_backbone: Whether the frozen weights are included; see `save_bundle`.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        bundle: str | Path | None = None,
        with_backbone: bool = False,
    ) -> None:
        self.recognizer = recognizer
        self._bundle = bundle
        self._with_backbone = with_backbone

    def _save_pretrained(self, save_directory: Path) -> None:
        # The hub's own code has made the folder by now, and has removed its config.json.
        others = sorted({path.name for path in save_directory.iterdir()} - CONTENT)
        if others:
            raise BundleError(
                f"{save_directory}: expected no folder, an empty one or an earlier bundle, found "
                f"{listed(others)} in it; name another folder"
            )
        origin = {} if self._bundle is None else read_origin(Path(self._bundle))._asdict()
        with writing_folder(save_directory) as temporary:
            save_bundle(
                self.recognizer,
                temporary,
                **origin,
                with_backbone=self._with_backbone,
            )

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        weights: str | Path | None = None,
        device: str = "cpu",
    ) -> Self:
        """A recognizer in a bundle's folder or on the hub.

        Args:
            pretrained_model_name_or_path: The folder, or USER/NAME.
            revision: On the hub, a branch, a tag or a commit.
            weights: The backbone's weight file; see `load_bundle`.
            device: Where it will run.

        Raises:
            BundleError: It is damaged, or there is none; see `load_bundle`.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = fetch_bundle(str(pretrained_model_name_or_path), revision=revision)
        return cls(load_bundle(folder, weights=weights, device=device), bundle=folder)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Put the bundle on the hub.

        Args:
            repo_id: USER/NAME.
            options: Those of `huggingface_hub.ModelHubMixin.push_to_hub`, such as `private`,
                `token`, `branch` and `commit_message`.

        Returns:
            The address of the commit.

        Raises:
            BundleError: The hub does not answer, or refuses it.
        """
        try:
            return str(super().push_to_hub(repo_id, **options))
        except (OSError, ValueError) as error:  # the hub's own errors are of these
            reason = " ".join(str(error).split())[:300]
            raise BundleError(
                f"{repo_id}: the hub did not take it: {reason}; check the name, the network, and "
                "that you are logged in: hf auth login"
            ) from error
