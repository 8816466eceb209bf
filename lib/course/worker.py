"""The process in which a submission runs: it executes cells and calls functions on demand.

Started by ``lib.course.sandbox`` as a script. Commands come as pickles from a process that is
trusted; answers go back as JSON, since nothing that a submission makes may be unpickled there.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import pickle
import runpy
import struct
import sys
from typing import Any, BinaryIO

_LONGEST_TEXT = 20_000


def _main() -> None:
    """Serve commands until there are no more."""
    commands, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what code prints past Python goes nowhere, least of all between
        os.dup2(null, stream)
    settings = _receive(commands, {})
    guard = runpy.run_path(settings["guard"])
    folder, secret = settings["folder"], settings["secret"]
    os.chdir(folder)
    limits = {
        "memory": guard["limit_memory"](settings["memory"]),
        "files": guard["close_kernel"](folder, settings["readable"], secret),
    }
    _find_lib(settings["lib"])
    session = Session()
    limits["calls"] = guard["close_calls"]()
    guard["close_python"](folder, secret)
    _send(answers, limits)
    while (command := _receive(commands, session.objects)) is not None:
        verb, *arguments = command
        _send(answers, getattr(session, verb)(*arguments))


def _find_lib(folder: str) -> None:
    """Import ``lib`` without listing the folder above it, where other things lie."""
    place = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location("lib", place, submodule_search_locations=[folder])
    sys.modules["lib"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["lib"])


def _receive(stream: BinaryIO, objects: dict[int, Any]) -> Any:
    head = stream.read(8)
    if len(head) < 8:
        return None
    unpickler = pickle.Unpickler(io.BytesIO(stream.read(struct.unpack(">Q", head)[0])))
    unpickler.persistent_load = objects.__getitem__
    return unpickler.load()


def _send(stream: BinaryIO, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    stream.write(struct.pack(">Q", len(data)) + data)
    stream.flush()


class Session:
    """A notebook without a kernel: IPython's shell, and the objects that were asked for."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        import lib.checks  # noqa: F401  (what loads compiled code loads it before the fence)

        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "NoColor"

        class Shell(InteractiveShell):
            failure = None

            def _showtraceback(self, etype, evalue, stb):
                self.failure = (etype.__name__, str(evalue), stb)

            def enable_gui(self, gui=None):
                """Nothing to draw on, and no reason for `%matplotlib` to fail."""

        self.shell = Shell.instance(config=config)
        self.shell.displayhook.write_output_prompt = lambda: None
        self.objects: dict[int, Any] = {}

    def run(self, source: str) -> dict[str, Any]:
        """Execute a cell; its outputs as a notebook has them."""
        from IPython.utils.capture import capture_output

        self.shell.failure = None
        with capture_output() as captured:
            result = self.shell.run_cell(source, store_history=False)
        outputs = []
        for name, text in (("stdout", captured.stdout), ("stderr", captured.stderr)):
            if text:
                text = text[:_LONGEST_TEXT]
                outputs.append({"output_type": "stream", "name": name, "text": text})
        for one in captured.outputs:
            data = {"text/plain": str(one.data.get("text/plain"))[:_LONGEST_TEXT]}
            if "image/png" in one.data:
                data["image/png"] = _text(one.data["image/png"])
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        if not result.success:
            name, text, lines = self.shell.failure or ("Error", "the cell stopped", [])
            error = {"output_type": "error", "ename": name, "evalue": text[:_LONGEST_TEXT]}
            outputs.append({**error, "traceback": [line[:_LONGEST_TEXT] for line in lines]})
        return {"success": bool(result.success), "outputs": outputs}

    def name(self, name: str) -> dict[str, Any]:
        """What a name stands for."""
        if name not in self.shell.user_ns:
            return {"absent": True}
        return self.call(self.shell.user_ns.get, (name,), {})

    def call(self, function: Any, arguments: tuple, keywords: dict[str, Any]) -> dict[str, Any]:
        """The result of a call, or the names and text of what it raised."""
        from IPython.utils.capture import capture_output

        try:
            with capture_output():
                return {"value": self._encode(function(*arguments, **keywords))}
        except BaseException as error:  # also SystemExit: this process serves on
            kinds = [kind.__name__ for kind in type(error).__mro__]
            return {"error": kinds, "text": str(error)[:_LONGEST_TEXT]}

    def attribute(self, thing: Any, name: str) -> dict[str, Any]:
        """An attribute of an object."""
        return self.call(getattr, (thing, name), {})

    def item(self, thing: Any, key: Any) -> dict[str, Any]:
        """An item of an object."""
        return self.call(lambda: thing[key], (), {})

    def _encode(self, value: Any) -> Any:
        import numpy as np
        import torch

        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if value is ...:
            return {"ellipsis": True}
        if isinstance(value, torch.Tensor):
            return {"tensor": self._encode(value.detach().cpu().resolve_conj().numpy())}
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
            return {"array": data, "dtype": value.dtype.str, "shape": list(value.shape)}
        for kind in (list, tuple, set, frozenset):
            if isinstance(value, kind):
                return {"items": [self._encode(one) for one in value], "kind": kind.__name__}
        if isinstance(value, dict):
            return {"pairs": [[self._encode(one) for one in pair] for pair in value.items()]}
        self.objects[len(self.objects)] = value
        return {"object": len(self.objects) - 1}


def _text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    _main()
