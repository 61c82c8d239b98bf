r"""PAF, action recognition (Miao et al., Frontiers in Neurorobotics 2019, 13:38): ten actions.

AEDAT 2.0 of a DAVIS346 in folders of classes (CrystalMiaoshu/PAFBenchmark at 67b7ee2). Its authors
publish no split; ExACT's lists, jiazhou-garland/ExACT at d40c6b2 (`Dataloader/PAF/PAF_train.txt`,
`PAF_val.txt`), have Windows' paths `\PAF\class\person_N.M.aedat`, one of them twice. The same
eight persons are in both of its parts.
"""

from pathlib import PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.published_splits import NamedSplit

Options = declared.Options


def _person(path: PurePosixPath) -> tuple[tuple[str, str], ...]:
    person, separator, _ = path.name.partition("_")
    return (("subject", person),) if separator else ()


RELEASE = declared.Release(
    layout="paf",
    dataset="PAF",
    expected_tree="""\
PAF_train.txt, PAF_val.txt         (ExACT's, if there)
PAF/
  arm crossing/
    chenjieneng_1.1.aedat
    chenjieneng_1.2.aedat
  get up/
    …""",
    suffixes=(".aedat",),
    advice="name the folder that holds the ten folders of actions, unpacked",
    roots=("PAF",),
    classes=(
        *("arm crossing", "get up", "jumping", "kicking", "picking up"),
        *("sit down", "throwing", "turning around", "walking", "waving"),
    ),
    columns_of=_person,
    splits={
        "exact": NamedSplit(
            by="ExACT's lists PAF_train.txt, PAF_val.txt (jiazhou-garland/ExACT); val is test here",
            lists={"train": ("PAF_train.txt",), "test": ("PAF_val.txt",)},
        )
    },
)
collect = RELEASE.collect
