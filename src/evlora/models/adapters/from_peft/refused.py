"""The methods of peft that evlora refuses, each with the reason."""

_TOKENS = "it puts tokens before those of a language model; vpt does it for a vision transformer"

REFUSED = {
    "adaption_prompt": "it adds prompts to the attention of LLaMA and of networks built like it",
    "bone": "peft 0.21 has it under the name miss",
    "cartridge": "it trains the cache of keys and values with which a language model generates",
    "cpt": _TOKENS,
    "multitask_prompt_tuning": _TOKENS,
    "p_tuning": _TOKENS,
    "poly": "it mixes its pairs by the number of a task, which each call would have to name",
    "prefix_tuning": _TOKENS,
    "prompt_tuning": _TOKENS,
    "shadow": "it runs a second language model beside the first, built from its configuration",
    "trainable_tokens": "it trains rows of an embedding of words; a vision transformer has none",
    "xlora": "it mixes LoRA adapters that were trained before, by the states of a language model",
}
"""Name → why a recipe cannot choose it."""
