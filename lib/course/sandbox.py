"""Run a submission where it can do no harm, and judge its answers where it cannot reach.

A submission's cells run in a process of their own (``worker.py``), behind the fences of
``guard.py``. Hidden tests run here: to them, what a student wrote looks like ordinary functions,
but each call goes through a pipe and comes back as plain data (numbers, texts, tensors, lists).
So nothing that a submission patches, prints or returns can pass a test, except the right values.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import functools
import io
import json
import os
import pickle
import queue
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from lib.errors import DataError

HERE = Path(__file__).parent
_LIB = HERE.parent
_LONGEST_ANSWER = 2**26
_LONGEST_TEXT, _LARGEST_IMAGE, _MOST_OUTPUTS = 20_000, 5_000_000, 100
_LARGEST_FOLDER, _MOST_FILES = 2**30, 10_000
_START = 300  # seconds: imports take long on a machine that is busy
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Limits:
    """What one submission may take.

    Attributes:
        seconds: for one cell; all cells together may take five times as long.
        memory: bytes.
        secret: files and folders that it must not read, such as the solutions.
    """

    seconds: float = 120.0
    memory: int = 2 * 2**30
    secret: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A code cell of a submission; ``hidden`` is the hidden test behind it, if it has one."""

    source: str
    hidden: str = ""
    is_test: bool = False


class Stopped(BaseException):
    """The process of a submission is gone, or was ended; no test may take it for an answer."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing: Any) -> int | None:
        return thing._number if type(thing) is Remote else None


class Remote:
    """An object that lives in the process of a submission: a function, a module, anything."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker, self._number = worker, number

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it there."""
        return self._worker.value("call", self, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python and its libraries ask by themselves
            raise AttributeError(name)
        return self._worker.value("attribute", self, name)

    def __getitem__(self, key: Any) -> Any:
        return self._worker.value("item", self, key)


class Worker:
    """One process for one submission; a context that ends it and removes its folder.

    Args:
        limits: what it may take.
    """

    def __init__(self, limits: Limits) -> None:
        self.deadline = time.monotonic() + _START
        self._folder = tempfile.TemporaryDirectory(prefix="unmix-", ignore_cleanup_errors=True)
        folder = os.path.realpath(self._folder.name)
        secret = [os.path.realpath(path) for path in limits.secret]
        fence = _fence(folder, secret) if _fence_holds() else []
        command = [*fence, sys.executable, "-I", str(HERE / "worker.py")]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        # more than one answer at a time is a flood, and has to wait in the pipe
        self._answers: queue.Queue[bytes | None] = queue.Queue(maxsize=1)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        settings = {
            "guard": str(HERE / "guard.py"),
            "lib": str(_LIB),
            "folder": folder,
            "readable": [str(_LIB)],
            "secret": secret,
            "memory": limits.memory,
        }
        try:
            self._send(settings)
            inside = self._receive()
        except Stopped as error:
            self.close()
            raise DataError(
                f"the process of a submission: expected it to start, got none ({error})"
            ) from None
        except BaseException:
            self.close()
            raise
        #: which limits hold on this system
        self.fences = {
            "memory": inside["memory"] is True,
            "files": bool(fence) or inside["files"] is True,
            "calls": bool(fence) or inside["calls"] is True,
        }

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does, and remove its folder."""
        if os.name == "posix" and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what was never read
            self._process.stdin.close()
        for _ in range(20):  # where processes cannot be forbidden, one may hold the pipe for ever
            with contextlib.suppress(queue.Empty):
                while self._answers.get(timeout=0.1):
                    pass
            if not self._listener.is_alive():
                self._process.stdout.close()
                break
        try:
            self._folder.cleanup()
        except RecursionError:  # thousands of folders, one in the other
            subprocess.run(["rm", "-rf", self._folder.name])

    def run(self, source: str) -> dict[str, Any]:
        """Execute a cell: ``{"success": ..., "outputs": [...]}``."""
        answer = self._ask("run", source)
        success, outputs = answer.get("success") is True, _require(answer.get("outputs"), list)
        # what went wrong comes last
        return {"success": success, "outputs": [*map(_output, outputs[-_MOST_OUTPUTS:])]}

    def named(self, name: str) -> tuple[bool, Any]:
        """Whether a name stands for something, and for what."""
        answer = self._ask("name", name)
        return ("value" in answer), self._value(answer)

    def value(self, verb: str, *arguments: Any) -> Any:
        """What an object of the submission answers; what it raises is raised here."""
        return self._value(self._ask(verb, *arguments))

    def _value(self, answer: dict[str, Any]) -> Any:
        if "error" in answer:
            _raise(answer)
        return self._decode(answer.get("value"))

    def _ask(self, *command: Any) -> dict[str, Any]:
        self._send(command)
        return self._receive()

    def _send(self, command: Any) -> None:
        buffer = io.BytesIO()
        _Pickler(buffer).dump(command)
        data = buffer.getvalue()
        # who does not listen would have us wait
        alarm = threading.Timer(max(0.0, self._left()), self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            self._process.stdin.write(struct.pack(">Q", len(data)) + data)
            self._process.stdin.flush()
        except OSError:
            raise Stopped(self._end()) from None
        finally:
            alarm.cancel()

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _receive(self) -> dict[str, Any]:
        while True:
            try:
                data = self._answers.get(timeout=min(max(0.0, self._left()), 0.5))
                break
            except queue.Empty:
                if self._left() <= 0:
                    raise Stopped("it took too long") from None
                if _overfull(self._folder.name):
                    raise Stopped("it wrote too much") from None
        if data is None:
            raise Stopped(self._end())
        try:
            return _require(json.loads(data), dict)
        except (ValueError, RecursionError):
            raise Stopped("it gave an answer that nobody asked for") from None

    def _listen(self) -> None:
        """Take answers off the pipe: whoever waits for one can so wait for a time."""
        stream = self._process.stdout
        try:
            while len(head := stream.read(8)) == 8:
                length = struct.unpack(">Q", head)[0]
                if length > _LONGEST_ANSWER:
                    break
                self._answers.put(stream.read(length))
        except (OSError, ValueError):  # closed meanwhile
            pass
        self._answers.put(None)

    def _end(self) -> str:
        if self._left() <= 0:
            return "it took too long"
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it broke off its answers"
        return f"its process ended by itself (exit code {code})"

    def _decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "complex" in value:
            return complex(*value["complex"])
        if "ellipsis" in value:
            return ...
        if "tensor" in value:
            return torch.from_numpy(self._decode(value["tensor"]).copy())
        if "array" in value:
            kind = np.dtype(value["dtype"])
            if kind.hasobject:
                raise Stopped("it gave an answer that nobody asked for")
            return np.frombuffer(base64.b64decode(value["array"]), kind).reshape(value["shape"])
        if "items" in value:
            kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
            return kinds[value["kind"]](map(self._decode, value["items"]))
        if "pairs" in value:
            return {self._decode(key): self._decode(one) for key, one in value["pairs"]}
        return Remote(self, int(value["object"]))


def _require(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Stopped("it gave an answer that nobody asked for")
    return value


def _output(output: Any) -> dict[str, Any]:
    """An output that a notebook may have, made anew from what came."""
    output = _require(output, dict)
    kind = output.get("output_type")
    if kind == "error":
        lines = _require(output.get("traceback"), list)[-_MOST_OUTPUTS:]
        return _error(_text(output.get("ename")), _text(output.get("evalue")), map(_text, lines))
    if kind == "display_data":
        data = _require(output.get("data"), dict)
        kept, image = {"text/plain": _text(data.get("text/plain"))}, str(data.get("image/png", ""))
        if len(image) < _LARGEST_IMAGE and re.fullmatch(r"[\w+/=]+", image, flags=re.ASCII):
            kept["image/png"] = image
        return {"output_type": "display_data", "data": kept, "metadata": {}}
    name = "stderr" if output.get("name") == "stderr" else "stdout"
    return {"output_type": "stream", "name": name, "text": _text(output.get("text"))}


def _text(value: Any) -> str:
    """A text that a file can hold, and a person can read."""
    return str(value)[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _overfull(folder: str) -> bool:
    """Whether a folder holds more than a submission may write."""
    size, count, places = 0, 0, [folder]
    while places and size <= _LARGEST_FOLDER and count <= _MOST_FILES:
        with contextlib.suppress(OSError), os.scandir(places.pop()) as entries:
            for entry in entries:  # some go while we look
                count += 1
                size += entry.stat(follow_symlinks=False).st_size
                if entry.is_dir(follow_symlinks=False):
                    places.append(entry.path)
    return bool(places) or size > _LARGEST_FOLDER or count > _MOST_FILES


def _error(name: str, text: str, lines: Iterable[str] = ()) -> dict[str, Any]:
    lines = list(lines) or [f"{name}: {text}"]
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": lines}


def _raise(answer: dict[str, Any]) -> NoReturn:
    """What the submission raised, as the nearest error that Python itself has."""
    for name in answer["error"]:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception) and "Iteration" not in name:
            try:
                error = kind(str(answer.get("text")))
            except TypeError:  # UnicodeDecodeError and its like want more
                continue
            raise error
    raise RuntimeError(f"{answer['error'][0]}: {answer.get('text')}")


# ------------------------------------------------------------------ a whole submission


def execute(
    cells: Sequence[Cell], names: Sequence[str], limits: Limits, seed: int
) -> tuple[list[list[dict[str, Any]]], dict[str, bool]]:
    """Run the cells of a submission in order, and judge its tests.

    A cell that ends the process, or has to be ended, counts as failed; the others run again
    without it.

    Args:
        cells: the code cells.
        names: what hidden tests may use of what the submission defines.
        limits: what it may take.
        seed: hidden tests draw their random inputs from it.

    Returns:
        The outputs of each cell, as notebooks have them; a test cell has an error among them
        if and only if it failed. And which limits hold on this system.

    Raises:
        DataError: if no process starts, which is no fault of the submission.

    Example:
        >>> cells = [Cell("def double(x): return x + 2"),
        ...          Cell("assert double(2) == 4", "assert double(5) == 10", True)]
        >>> outputs, fences = execute(cells, ["double"], Limits(), seed=1)
        >>> [[one["output_type"] for one in each] for each in outputs]
        [[], ['error']]
    """
    end = time.monotonic() + _START + 5 * limits.seconds
    outputs: list[list[dict[str, Any]]] = []
    done: list[Cell] = []
    worker, fences = None, {}
    try:
        for index, cell in enumerate(cells):
            try:
                if worker is None:
                    worker = Worker(limits)
                    fences = worker.fences
                    for earlier in done:
                        _within(worker, limits, end)
                        worker.run(earlier.source)
                _within(worker, limits, end)
                outputs.append(_run(worker, cell, names, seed + index))
                if not cell.is_test:
                    done.append(cell)
            except Stopped as stopped:
                outputs.append([_error("Stopped", str(stopped))])
                if worker is not None:
                    worker.close()
                worker = None
    finally:
        if worker is not None:
            worker.close()
    return outputs, fences


def _within(worker: Worker, limits: Limits, end: float) -> None:
    worker.deadline = min(time.monotonic() + limits.seconds, end)


def _run(worker: Worker, cell: Cell, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    answer = worker.run(cell.source)
    if not cell.is_test:
        return answer["outputs"]
    # what a test prints is no verdict, and nbgrader takes warnings and numbers for one
    text = "".join(one["text"] for one in answer["outputs"] if one["output_type"] == "stream")
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    errors = [one for one in answer["outputs"] if one["output_type"] == "error"]
    if not answer["success"]:
        return outputs + (errors[:1] or [_error("Error", "the test stopped")])
    if cell.hidden:
        outputs += _judge(cell.hidden, worker, names, seed)
    return outputs


def _judge(hidden: str, worker: Worker, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Run a hidden test in this process; its error as an output, or nothing."""
    namespace: dict[str, Any] = {"__name__": "hidden_tests"}
    try:
        for name in names:
            found, value = worker.named(name)
            if found:
                namespace[name] = value
        with torch.random.fork_rng(devices=[]):
            for draw in (torch.manual_seed, random.seed, np.random.seed):
                draw(seed % 2**32)
            with contextlib.redirect_stdout(None):
                exec(compile(hidden, "hidden tests", "exec"), namespace)
    except Stopped:
        raise
    except Exception as error:
        return [_error(type(error).__name__, f"hidden tests: {error}")]
    return []


# ------------------------------------------------------------------ a fence from outside


def _fence(folder: str, secret: Sequence[str]) -> list[str]:
    """The command that starts another one behind a fence, on macOS; ``guard.py`` has Linux's."""
    hidden, own = (
        "".join(f"(subpath {json.dumps(path, ensure_ascii=False)})" for path in paths)
        for paths in (secret, [folder])
    )
    rules = [
        "(version 1)(allow default)(deny network*)(deny process-fork)",
        '(deny signal)(allow signal (target self))(deny file-write* (subpath "/"))',
        f"(deny file-read* {hidden})" if hidden else "",
        f'(allow file-read* file-write* {own})(allow file-write* (literal "/dev/null"))',
    ]
    return ["sandbox-exec", "-p", "".join(rules)]


@functools.cache
def _fence_holds() -> bool:
    """Whether this system has that fence, and an interpreter lives behind it."""
    if not shutil.which("sandbox-exec"):
        return False
    folder = os.path.realpath(tempfile.gettempdir())
    command = [*_fence(folder, []), sys.executable, "-I", "-c", "import IPython, torch"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _environment(folder: str) -> dict[str, str]:
    """Nothing of ours but what an interpreter needs; one thread, no GPU, no screen."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    places = ("HOME", "TMPDIR", "TEMP", "TMP", "USERPROFILE", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")
    settings = {"UNMIX_BUDGET": "smoke", "MPLBACKEND": "agg", "IPYTHONDIR": folder}
    machine = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return kept | dict.fromkeys(places, folder) | settings | machine
