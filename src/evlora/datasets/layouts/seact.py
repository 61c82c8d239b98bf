"""SeAct (Zhou et al., CVPR 2024): 58 actions of 10 persons, DAVIS346, `.aedat4` with frames.

The tree is that of its authors' lists, jiazhou-garland/ExACT at d40c6b2
(`Dataloader/SeAct/SeAct_train.txt`, `SeAct_val.txt`): folders of persons, whose files begin with
the number of an action, behind a prefix for some persons (`xu0017-2023_08_19_15_19_08.aedat4`). The
names of the actions are those of `SeAct.json` there. Every person is in both parts of the split.
"""

import re
from pathlib import PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.published_splits import NamedSplit

Options = declared.Options
FILE_NAME = re.compile(r".*?(\d{4})-.*")
THEMES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        0,
        (
            *("clap", "circle", "jumping jack", "squat down", "jump squat", "push-up", "sit down"),
            *("salute", "bend forward", "hurdle start", "long jump", "nod head", "walking"),
            *("running", "shake head", "circle head", "circle arm", "raise the arm", "side kick"),
            *("forward kick", "high leg lift", "waving hand", "punch straight forward"),
        ),
    ),
    (
        1000,
        (
            *("catch a ball", "throw a ball", "catch and throw a ball", "walk with a ball"),
            *("circle the ball around the main body", "circle the ball around the leg"),
            *("open and close umbrella", "open the computer", "close the computer"),
            *("use the phone", "put on glasses", "put off glasses", "tie shoelaces"),
            *("take a photo", "lift the box", "put down the box", "drink water"),
            *("twist the bottle cap", "walk with an opened umbrella", "walk with a box"),
            "run with a box",
        ),
    ),
    (
        2000,
        (
            *("falling down", "vomit", "staggering", "walk with stomach pain"),
            *("walk with headache", "walk with back pain", "leg injury walking"),
        ),
    ),
    (
        3000,
        (
            *("hug", "fight", "wave hand to each other", "handshake", "shoulder tapping"),
            *("clap hand", "handing box"),
        ),
    ),
)
"""The number of each theme's first action, and the names of its actions in order."""
ACTIONS = {first + place: name for first, names in THEMES for place, name in enumerate(names)}


def _action(path: PurePosixPath) -> str | None:
    match = FILE_NAME.fullmatch(path.name)
    return None if match is None else ACTIONS.get(int(match[1]))


RELEASE = declared.Release(
    layout="seact",
    dataset="SeAct",
    expected_tree="""\
SeAct_train.txt, SeAct_val.txt     (if there)
DVS Semantic Action/
  f1-zhou/
    0000-2023_….aedat4
    1020-2023_….aedat4
  m3-xu/
    xu0017-2023_….aedat4
    …""",
    suffixes=(".aedat4",),
    advice="name the folder that holds DVS Semantic Action, unpacked",
    roots=("DVS Semantic Action",),
    class_of=_action,
    labels_from="numbers in the files' names, called as in SeAct.json",
    columns_of=lambda path: (("subject", path.parent.name),) if path.parent.name else (),
    splits={
        "official": NamedSplit(
            by=(
                "lists SeAct_train.txt, SeAct_val.txt of SeAct's authors (jiazhou-garland/ExACT); "
                "val is test here"
            ),
            lists={"train": ("SeAct_train.txt",), "test": ("SeAct_val.txt",)},
            counts={"train": 464, "test": 116},
        )
    },
)
collect = RELEASE.collect
