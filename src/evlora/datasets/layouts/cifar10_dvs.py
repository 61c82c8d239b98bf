"""CIFAR10-DVS (Li et al., Frontiers in Neuroscience 2017, 11:309): ten classes, DVS128, AEDAT 2.0.

An archive of 1,000 recordings for each class, which unpacks into a folder of its name; so
fangwei123456/spikingjelly at afb1322 (`spikingjelly/datasets/cifar10_dvs.py`) reads it. Its authors
publish no split: figures are for one that everybody chooses, usually 9 to 1.
"""

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.pairing import PictureOptions, by_class_and_number


class Options(PictureOptions, declared.Options):
    """How the test split is chosen, and CIFAR-10's pictures as `class/number.png`.

    Which of CIFAR-10's pictures a recording shows is not stated by its authors.
    """

    key_of = by_class_and_number


RELEASE = declared.Release(
    layout="cifar10_dvs",
    dataset="CIFAR10-DVS",
    expected_tree="""\
airplane/
  cifar10_airplane_0.aedat
  cifar10_airplane_1.aedat
automobile/
  …""",
    suffixes=(".aedat",),
    advice="name the folder that holds the ten folders of classes, unpacked",
    classes=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
)
collect = RELEASE.collect
