"""The key `adapter`: its defaults, a name alone, and what is refused and how."""

from typing import Any

import pytest

from evlora.errors import AdapterError
from evlora.models import SingleStreamConfig
from evlora.models.adapters import METHODS, AdapterConfig


def test_the_default_is_the_lora_of_the_paper() -> None:
    settings = AdapterConfig().settings()
    assert (settings.sites, settings.rank, settings.alpha, settings.dropout) == ("ffn", 4, 8, 0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_name_alone_is_the_method_with_its_defaults(method: str) -> None:
    config = SingleStreamConfig.model_validate({"network": "single_stream", "adapter": method})
    assert config.adapter == AdapterConfig(method=method)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "lorra"}, "no adapter is called 'lorra'; did you mean lora"),
        (
            {"method": "bitfit", "rank": 4},
            r"adapter\.rank: bitfit has no rank; remove it \(it has nothing to set\); over a "
            r"recipe that sets it, write .model\.adapter=bitfit",
        ),
        ({"method": "ssf", "sites": "ffn"}, r"has no sites; remove it \(it has options\.init"),
        (
            {"method": "vera", "sites": "all"},
            r"adapter\.sites: vera cannot adapt the patch embedding.*both, or method to one of "
            "lora, dora, lora_fa",
        ),
        ({"method": "vera", "alpha": 4}, "vera has no alpha; remove it .it has sites, rank, dr"),
        (
            {"method": "bitfit", "options": {"rank": 4}},
            r"adapter\.options of bitfit: rank: unknown key; there are: none",
        ),
        (
            {"method": "vpt", "options": {"token": 4}},
            r"adapter\.options of vpt: token: unknown key; did you mean tokens",
        ),
        ({"method": "vpt", "options": {"tokens": 0}}, "vpt: tokens: expected 1 or more, got 0"),
        ({"method": "oft", "options": {"block_size": 1}}, "oft: block_size: .*at least 2, got 1"),
        (
            {"method": "adalora", "options": {"every": 0}},
            "adalora: every: .*at least 1, got 0",
        ),
        (
            {"method": "adalora", "rank": 4, "options": {"initial_rank": 4}},
            "configure adalora: .*initial_rank: expected more than the final rank 4, got 4",
        ),
        (
            {"method": "adalora", "options": {"warmup": 0.6, "final": 0.6}},
            "cannot configure adalora: .*budgeting phase",
        ),
        (
            {"method": "lv_adapter", "options": {"vector": False, "pair": False}},
            "cannot configure lv_adapter: .*all off",
        ),
    ],
)
def test_what_a_method_does_not_have_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        AdapterConfig.model_validate(given)


@pytest.mark.parametrize("method", ["none", "full"])
def test_older_recipes_that_gave_a_probe_a_rank_are_still_read(method: str) -> None:
    assert AdapterConfig(method=method, sites="ffn", rank=4, alpha=8, dropout=0.01)
