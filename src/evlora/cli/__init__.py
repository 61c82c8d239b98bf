"""The command `evlora`: one verb per job. Heavy libraries are imported inside the verbs."""
