"""Takes numbers out of pickles and torch files without unpickling them.

A pickle is a program. Nothing of Python's or torch's unpickler runs here: the program's instructions are read one by one,
and those that build lists, numbers, NumPy arrays and torch tensors are followed symbolically. A name that a pickle asks
for is never looked up; it is compared with the few names of `pickled_values`, whose meaning is written there. Any other name or
instruction ends the reading. Still this is only used in a process of its own (`pickled_child`), because a hostile file
can ask for more memory and time than there is.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from datasets.formats.pickled_values import (
    MAX_ITEMS,
    OPERATIONS,
    PASSIVE,
    STORAGES,
    Holder,
    Kind,
    Name,
    RefusedError,
    Storage,
    Tensor,
)

MAX_FILE_BYTES = 1 << 28
"""Larger files hold no episode."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file of torch before version 1.6."""


def load(content: bytes) -> Any:
    """The object in a torch file, of either format, or in a plain pickle; its arrays are `Holder`s.

    Raises:
        RefusedError: damaged, or anything but data.
    """
    try:
        if content[:4] == b"PK\x03\x04":
            return _load_zip(content)
        stream = io.BytesIO(content)
        found = _Machine().run(stream)
        return found if found != _LEGACY_MAGIC else _load_legacy(stream)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError) as error:
        raise RefusedError(f"is damaged: {' '.join(str(error).split()):.120}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, RecursionError) as error:
        raise RefusedError(f"is damaged: {' '.join(str(error).split()):.120}") from error


def _load_zip(content: bytes) -> Any:
    """Torch since version 1.6: `NAME/data.pkl` and `NAME/data/KEY`, uncompressed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        programs = [name for name in entries if name.endswith("/data.pkl")]
        if len(programs) != 1:
            raise RefusedError("is an archive of another kind")
        stem = programs[0].removesuffix("data.pkl")

        def read(name: str) -> bytes:
            entry = entries[name]
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content):
                raise RefusedError("is a compressed archive, which torch does not write")
            return archive.read(entry)

        if f"{stem}byteorder" in entries and read(f"{stem}byteorder") != b"little":
            raise RefusedError("was written on a big-endian machine")
        machine = _Machine()
        found = machine.run(io.BytesIO(read(programs[0])))
        machine.fill(lambda key: read(f"{stem}data/{key}"))
        return found


def _load_legacy(stream: io.BytesIO) -> Any:
    """Torch before version 1.6: five pickles, then every storage as its length and its numbers."""
    for _ in range(2):  # version, machine
        _Machine().run(stream)
    machine = _Machine()
    found = machine.run(stream)
    keys = _Machine().run(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedError("has no list of storages")
    storages = {}
    for key in keys:
        n_items = int.from_bytes(stream.read(8), "little")
        storages[key] = stream.read(n_items * machine.storages[key].dtype.itemsize)
    machine.fill(storages.__getitem__)
    return found


class _Machine:
    """Follows one pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._tensors: list[Tensor] = []
        self.storages: dict[str, Storage] = {}
        """Those that tensors asked for."""

    def run(self, stream: io.BytesIO) -> Any:
        """Follow the pickle at the stream's position, which is moved behind it."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return self._stack.pop()
            if count > MAX_ITEMS:
                raise RefusedError(f"has more than {MAX_ITEMS} instructions")
            if opcode.name in _PUSHED:
                self._stack.append(argument)
            else:
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise RefusedError(f"uses the pickle instruction {opcode.name}, which data do not need")
                step(self, argument)
        raise RefusedError("is damaged: it has no end")

    def fill(self, storages: Callable[[str], bytes]) -> None:
        """Give every tensor its numbers."""
        for tensor in self._tensors:
            tensor.fill(storages)

    def push(self, value: Any) -> None:
        """Onto the stack."""
        self._stack.append(value)

    def mark(self) -> None:
        """Remember where a sequence begins."""
        self._marks.append(len(self._stack))

    def take(self, count: int | None = None) -> list[Any]:
        """The topmost values, all since the last mark if `count` is None."""
        start = self._marks.pop() if count is None else len(self._stack) - count
        if start < 0:
            raise RefusedError("is damaged: values are missing")
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def drop(self, count: int | None) -> None:
        """Forget what `take` would return."""
        self.take(count)

    def keep(self, place: int | None = None) -> None:
        """Remember the topmost value."""
        self._memo[len(self._memo) if place is None else int(place)] = self._stack[-1]

    def recall(self, place: int) -> None:
        """Push a remembered value."""
        self._stack.append(self._memo[int(place)])

    def extend(self, values: list[Any]) -> None:
        """Put values at the end of the list on top."""
        if type(self._stack[-1]) is not list:
            raise RefusedError("is damaged: it appends to what is no list")
        self._stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        if type(self._stack[-1]) is not dict:
            raise RefusedError("is damaged: it fills what is no dictionary")
        self._stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def name(self, text: Any) -> None:
        """Push a name, if it is one of the few."""
        if text not in OPERATIONS and text not in PASSIVE:
            raise RefusedError(f"asks for '{str(text).replace(' ', '.'):.80}', which is not data")
        self._stack.append(Name(text))

    def stack_name(self) -> None:
        """The same with module and name on the stack."""
        module, name = self.take(2)
        self.name(f"{module} {name}")

    def reduce(self) -> None:
        """Do what a name stands for."""
        name, arguments = self.take(2)
        operation = OPERATIONS.get(name.text) if isinstance(name, Name) else None
        if operation is None or not isinstance(arguments, tuple):
            raise RefusedError("calls something that is not a function of data")
        made = operation(*arguments)
        if isinstance(made, Tensor):
            self._tensors.append(made)
        self._stack.append(made)

    def build(self) -> None:
        """Finish an array or a type."""
        (state,) = self.take(1)
        made = self._stack[-1]
        if not isinstance(made, Holder | Kind):
            raise RefusedError("sets attributes of something that is not an array")
        made.build(state)

    def storage(self) -> None:
        """Push a storage that a tensor lies in."""
        (identity,) = self.take(1)
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise RefusedError("refers to something outside the file")
        name, key, n_items = identity[1], identity[2], identity[4]
        if not isinstance(name, Name) or not isinstance(key, str) or type(n_items) is not int:
            raise RefusedError("refers to something outside the file")
        storage = Storage(key, np.dtype(STORAGES[name.text.removeprefix("torch ")]), n_items)
        self._stack.append(self.storages.setdefault(key, storage))


_PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
"""Instructions that push their argument."""
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.mark(),
    "POP_MARK": lambda machine, _: machine.drop(None),
    "POP": lambda machine, _: machine.drop(1),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "LIST": lambda machine, _: machine.push(machine.take()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.take())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.take(3))),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.take()),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.take()),
    "PUT": lambda machine, place: machine.keep(place),
    "BINPUT": lambda machine, place: machine.keep(place),
    "LONG_BINPUT": lambda machine, place: machine.keep(place),
    "MEMOIZE": lambda machine, _: machine.keep(),
    "GET": lambda machine, place: machine.recall(place),
    "BINGET": lambda machine, place: machine.recall(place),
    "LONG_BINGET": lambda machine, place: machine.recall(place),
    "GLOBAL": lambda machine, text: machine.name(text),
    "STACK_GLOBAL": lambda machine, _: machine.stack_name(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.storage(),
}
"""The other instructions that data need."""
