"""How the help of every verb looks: names of arguments and kinds of values in capitals."""

import re
from contextvars import ContextVar
from gettext import gettext
from typing import Any

from typer.core import TyperCommand

from evlora.rank_group import ALONE, Ranks, joined

KINDS = {
    "int": "N",
    "float": "NUMBER",
    "str": "TEXT",
    "Path": "PATH",
    "path": "PATH",
}
"""Type of a value, as typer shows it → the word that stands for the value."""
TYPE = re.compile(r" <(?:list\[)?(\S+?)(?: range)?\]?>$")
"""A type at the end of an option's or an argument's name, such as ` <list[Path]>`."""

REQUIRED = "  [required]"
"""Ends the help of an argument that the verb itself asks for, in a message of its own."""

OVER_RANKS = ("evaluate", "predict", "prepare", "pack")
"""Verbs whose work the processes of torchrun or srun divide; `train` and `compare` meet in
Lightning's way."""


_together: ContextVar[Ranks] = ContextVar("ranks", default=ALONE)


def ranks_of_command() -> Ranks:
    """The processes that run this command together; this one alone by default."""
    return _together.get()


class Verb(TyperCommand):
    """A verb of the command; typer itself shows names as they stand in the code, and types."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            if param.param_type_name == "argument" and param.metavar is None:
                param.metavar = (param.name or "").upper()

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, together with the other processes of this command where there are some."""
        if self.name not in OVER_RANKS:
            return super().invoke(ctx)
        with joined() as ranks:
            token = _together.set(ranks)
            try:
                return super().invoke(ctx)
            finally:
                _together.reset(token)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line: `RECORDING`, where typer has `{RECORDING}`."""
        required = [
            f"[{param.metavar}]"
            for param in self.params
            if (getattr(param, "help", None) or "").endswith(REQUIRED)
        ]
        pieces = super().collect_usage_pieces(ctx)
        return [
            re.sub(r"^[{\[](.*)[}\]]", r"\1", piece)
            if piece.startswith(("{", *required))
            else piece
            for piece in pieces
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options with what each of them is for."""
        records = [(p.param_type_name, p.get_help_record(ctx)) for p in self.get_params(ctx)]
        for heading, kind in (("Arguments", "argument"), ("Options", "option")):
            rows = [record for its_kind, record in records if its_kind == kind and record]
            if rows:
                with formatter.section(gettext(heading)):
                    formatter.write_dl([(_shown(name, kind), text) for name, text in rows])


def _shown(name: str, kind: str) -> str:
    """What stands before the help of an argument or an option."""
    if kind == "argument":
        return TYPE.sub("", name)
    return TYPE.sub(lambda found: f" {KINDS.get(found[1], found[1])}", name)
