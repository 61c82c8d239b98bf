"""The errors that evlora raises for a user's mistake, as one family.

EvloraError
├── RecordingError   a recording that cannot be read, written or understood
│   └── SensorSizeError  a recording whose sensor nobody states, or two state differently
├── DatasetError     a dataset: its manifest, its layout, its labels, one of its samples
├── ShapeError       a tensor or an array of the wrong shape or type
├── RecipeError      a recipe, one of its keys or an override
├── BackboneError    a backbone that does not exist, or weights that do not fit
├── AdapterError     an adapter that is unknown or matches nothing
├── CheckpointError  a published checkpoint that cannot be read or is another network's
├── BundleError      a bundle that is incomplete or belongs to another backbone
├── ExportError      a format or an exporter that cannot take a network, or a file that differs
└── RunError         a run folder in use, a run that cannot go on, a missing device

RecordingWarning     a recording that was read only in part

Every message states what was expected, what came, where, and what to do.
"""


class EvloraError(Exception):
    """The root of the family: a mistake that the user can mend."""


class RecordingError(EvloraError):
    """A recording cannot be read, written or understood."""


class SensorSizeError(RecordingError):
    """Nobody states the size of a recording's sensor, or the file states another one."""


class DatasetError(EvloraError):
    """A dataset's manifest, layout, labels or samples contradict each other or are missing."""


class ShapeError(EvloraError):
    """A tensor or an array has the wrong shape or type."""


class RecipeError(EvloraError):
    """A recipe has an unknown key, a wrong value or a contradiction."""


class BackboneError(EvloraError):
    """A backbone does not exist, or its weights do not fit."""


class AdapterError(EvloraError):
    """An adapter method is unknown, or its targets match nothing in the model."""


class CheckpointError(EvloraError):
    """A published checkpoint cannot be read, or is not laid out as the released one is."""


class BundleError(EvloraError):
    """A bundle is incomplete, damaged, or was made for another backbone."""


class ExportError(EvloraError):
    """A network cannot be exported so, or the exported file's answers differ or cannot be read."""


class RunError(EvloraError):
    """A run folder is in use, a run cannot go on from what is there, or a device is missing."""


class RecordingWarning(UserWarning):
    """A recording was read only in part; the message gives how much and from where."""
