"""Modules that libraries import at once and need rarely: they are imported when first used.

torchvision imports torch's compiler for the sake of one name, and peft imports transformers for
classes that it only compares objects with, and through accelerate's commands a client of Amazon's
services; timm and peft import the hub's client. Together they were four fifths of the time that a
command needed before its first word. While such a library is imported, these modules are answered
by stand-ins; afterwards each stand-in imports the real thing when it is called or one of its
attributes is read. No object is an instance of a stand-in before somebody has imported its module,
which is true. A library that cannot be imported this way is imported as usual, and
`EVLORA_IMPORTS=eager` turns all of this off.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from evlora.garbage import importing

SWITCH, EAGER = "EVLORA_IMPORTS", "eager"

COMPILER = "torch._dynamo"
NETWORKS = "torchvision.models"
OF_TORCHVISION = (COMPILER, NETWORKS, "torchvision.datasets", "torchvision.ops")
OF_HUB = (
    "huggingface_hub._snapshot_download",
    "huggingface_hub.file_download",
    "huggingface_hub.hf_api",
    "huggingface_hub.hf_file_system",
    "huggingface_hub.repocard",
)
DEFERRED: dict[str, tuple[str, ...]] = {
    "torch": (),
    "torchvision": OF_TORCHVISION,
    "timm": (*OF_TORCHVISION, *OF_HUB),
    "peft": (
        *OF_HUB,
        "transformers",
        "accelerate.commands",
        "peft.tuners.adamss.asa_callback",  # these two derive from classes of transformers
        "peft.tuners.shadow.layers",
        "peft.tuners.shadow.model",
    ),
}
"""Library → modules that it imports and that are not used by evlora."""

LEANED_ON = {
    "peft": ("torch.distributed.tensor",),
    "torchvision": OF_TORCHVISION[1:],
    "timm": OF_TORCHVISION[1:],
}
"""Library → modules that are reached as attributes of a package although nobody imported them."""

WITHOUT_NUMBERS = "torch._meta_registrations"
"""Shapes of what each operation of torch returns for tensors without numbers, which exporting,
compiling and counting operations need; a fifth of torch's import."""

MIXINS = {
    ("transformers.utils", "PushToHubMixin"): (
        "push_to_hub",
        "save_pretrained",
        "_get_files_timestamps",
        "_upload_modified_files",
    ),
}
"""Classes that a library derives from → their methods."""


def install() -> None:
    """Import the libraries of the table without what they defer; once is enough."""
    if os.environ.get(SWITCH) != EAGER and _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def import_torch_to_answer() -> None:
    """Import torch without what answering never needs: for a process that does nothing else."""
    if os.environ.get(SWITCH) != EAGER and "torch" not in sys.modules:
        with _deferring((WITHOUT_NUMBERS,)):
            import_module("torch")


def names_on_demand(
    package: str, homes: Mapping[str, Sequence[str]], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """What a package's `__getattr__` is that imports its names when they are first asked for.

    Args:
        package: Its name.
        homes: Module of it → the names that are in it.
        otherwise: Answers other names, or raises.
    """

    def found(name: str) -> Any:
        for home, names in homes.items():
            if name in names:
                return getattr(import_module(home), name)
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return found


class StandIn:
    """A name of a module that has not been imported."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __instancecheck__(self, instance: object) -> bool:
        return self._is_imported() and isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._is_imported() and issubclass(subclass, self._real())

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        mixin = MIXINS.get((self._module, self._name))
        if mixin is None:
            return (self._real(),)
        methods = {name: self._method(name) for name in mixin}
        return (type(self._name, (), methods),)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the real thing."""
        if (self._module, self._name) == (COMPILER, "disable"):
            return _not_compiled(*arguments, **named)
        return self._real()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or _is_deferred(self._module):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._real()[key]

    def __contains__(self, item: object) -> bool:
        return item in self._real()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real())

    def __or__(self, other: object) -> Any:
        return Any  # in annotations

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<{self._module}.{self._name}, not imported yet>"

    def _is_imported(self) -> bool:
        return self._module in sys.modules and not _is_deferred(self._module)

    def _real(self) -> Any:
        if _is_deferred(self._module):  # the library is then imported as usual
            raise ImportError(f"{self._module}.{self._name} is needed at once", name=self._module)
        return getattr(import_module(self._module), self._name)

    def _method(self, name: str) -> Callable[..., Any]:
        def call(instance: Any, *arguments: Any, **named: Any) -> Any:
            return getattr(self._real(), name)(instance, *arguments, **named)

        return call


def _not_compiled(function: Callable[..., Any], *options: Any, **named: Any) -> Callable[..., Any]:
    """`torch.compiler.disable(function)`, which does nothing until the compiler is imported."""

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        compiler = sys.modules.get(COMPILER)
        if compiler is None or _is_deferred(COMPILER):
            return function(*arguments, **keywords)
        return compiler.disable(function, *options, **named)(*arguments, **keywords)

    return call


class _StandInModule(ModuleType):
    """A module that was asked for while it was deferred; it answers as the real one later."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version(self.__name__)
        if name.startswith("__"):
            raise AttributeError(name)
        is_class = name[0].isupper() and not name.isupper()
        is_there = self.__name__ in sys.modules
        if _is_deferred(self.__name__) or (is_class and not is_there):
            return StandIn(self.__name__, name)
        return getattr(import_module(self.__name__), name)


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed."""


class _DeferringLoader(Loader):
    """Imports a library while some of what it imports is deferred, or else as usual."""

    def __init__(self, usual: Loader, deferred: Sequence[str]) -> None:
        self._usual, self._deferred = usual, deferred

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        before = set(sys.modules)
        try:
            with _deferring(self._deferred), importing():
                self._usual.exec_module(module)
        except Exception:  # another version of the library may need anything
            if not self._deferred:
                raise
            inside = f"{module.__name__}."
            for name in set(sys.modules) - before:
                if name.startswith(inside):
                    del sys.modules[name]
            self._usual.exec_module(module)
        for name in LEANED_ON.get(module.__name__, ()):
            parent, _, child = name.rpartition(".")
            if name not in sys.modules:
                setattr(import_module(parent), child, _StandInModule(name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)  # such as get_source and get_data


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.deferred: tuple[str, ...] = ()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(f"{fullname}.".startswith(f"{name}.") for name in self.deferred):
            return ModuleSpec(fullname, _StandInLoader(), is_package=True)
        library = fullname.partition(".")[0]
        if self.deferred or library not in DEFERRED:
            return None
        if not DEFERRED[library] and fullname != library:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader, DEFERRED[library])
        return spec


_FINDER = _Finder()


@contextmanager
def _deferring(names: Sequence[str]) -> Generator[None]:
    """Inside, imports of these modules give stand-ins, unless they are imported already."""
    _FINDER.deferred = tuple(name for name in names if name not in sys.modules)
    try:
        yield
    finally:
        _FINDER.deferred = ()
        for name, module in list(sys.modules.items()):
            if isinstance(module, _StandInModule):
                del sys.modules[name]
                parent, _, child = name.rpartition(".")
                holder = vars(sys.modules.get(parent, module))
                if holder.get(child) is module:
                    del holder[child]


def _is_deferred(module: str) -> bool:
    return isinstance(sys.modules.get(module), _StandInModule)
