"""What a separator costs: parameters, multiply-adds, memory, time.

Two counts need no numbers, only shapes: multiply-adds and memory are the same on every machine, and
a model of any size can be counted on torch's ``meta`` device, where tensors have no values::

    with torch.device("meta"):
        model = ConvTasNet.paper()
    cost(model)

Time has to be measured, and holds for the machine, its threads and what else it is doing.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lib.errors import InputError

__all__ = ["Cost", "cost", "real_time_factor"]


class Cost(NamedTuple):
    """What :func:`cost` counts.

    Attributes:
        parameters: how many numbers training sets.
        multiply_adds: per second of sound.
        memory: bytes per second of sound, beside the weights.
    """

    parameters: int
    multiply_adds: float
    memory: float


class _Recurrence(TorchFunctionMode):
    """Counts LSTMs and attention by formula, whichever kernels a device has for them.

    ``torch.utils.flop_counter`` sees an LSTM as one operation without a formula on some machines
    and as many matrix products on others. On ``meta`` both are skipped: what comes out has its
    shape at once, as from a kernel that keeps nothing else.
    """

    def __init__(self, counter: FlopCounterMode):
        self.counter, self.correction = counter, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        formula = {torch.lstm: _lstm, functional.scaled_dot_product_attention: _attention}.get(func)
        if formula is None:
            return func(*args, **(kwargs or {}))
        multiply_adds, skipped = formula(*args)
        before = self.counter.get_total_flops()
        skip = args[0].is_meta and not torch.is_grad_enabled()
        result = skipped() if skip else func(*args, **(kwargs or {}))
        self.correction += 2 * multiply_adds - (self.counter.get_total_flops() - before)
        return result


def _lstm(sequences, states, weights, bias, layers, dropout, training, both, batch_first):
    """Each step multiplies by every matrix once."""
    steps = sequences.shape[0] * sequences.shape[1]
    width = states[0].shape[-1] * (2 if both else 1)
    count = steps * sum(weight.numel() for weight in weights if weight.ndim == 2)
    return count, lambda: (sequences.new_empty(*sequences.shape[:2], width), *states)


def _attention(queries, keys, values, *rest):
    """Each query meets every key, and each weight a value."""
    count = math.prod(queries.shape[:-1]) * keys.shape[-2] * (keys.shape[-1] + values.shape[-1])
    return count, lambda: queries.new_empty(*queries.shape[:-1], values.shape[-1])


class _Peak(TorchDispatchMode):
    """The most bytes of tensors that were alive at the same time; those of the model do not count.

    What a kernel needs for itself while it runs is not seen.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.now = self.most = 0
        own = (*model.parameters(), *model.buffers())
        self.known = {id(s): s for s in (tensor.untyped_storage() for tensor in own)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self.known:
            return

        def forget(_: Any) -> None:
            del self.known[key]
            self.now -= size

        self.known[key] = weakref.ref(storage, forget)
        self.now += size
        self.most = max(self.most, self.now)


def _noise(model: nn.Module, seconds: float) -> torch.Tensor:
    if not (seconds > 0 and round(seconds * model.sample_rate) > 0):
        raise InputError(f"seconds: expected at least one sample, got {seconds}")
    device = next(model.parameters()).device
    length = round(seconds * model.sample_rate)
    return torch.randn(1, model.channels or 1, length, device=device)


def cost(model: nn.Module, seconds: float = 4.0, *, gradients: bool = False) -> Cost:
    """Count what a separator needs for a second of sound.

    The model separates ``seconds`` of noise, and both counts are divided by that time: for systems
    that compare all frames with each other they depend on it.

    - **Multiply-adds** are those of matrix products, convolutions, attention and LSTMs, one for a
      product and the sum that takes it up (half of ``torch.utils.flop_counter``'s operations).
      Fourier transforms, norms and activations are not among them.
    - **Memory** is the most that tensors hold at one time. Weights and what a kernel needs for
      itself come on top.

    Args:
        model: a :class:`lib.models.base.Separator`, on any device, ``meta`` included (where the
            system does not decide by values, as clustering does).
        seconds: length of the noise.
        gradients: keep what the gradients of a training step need, and compute them; those that
            the model held before are gone. On ``meta`` attention then keeps its weights, as without
            a kernel that makes them anew.

    Raises:
        InputError: for a time without a sample.

    Example:
        >>> from lib.models import ConvTasNet
        >>> with torch.device("meta"):
        ...     count = cost(ConvTasNet.paper())
        >>> count.parameters, f"{count.multiply_adds / 1e9:.1f} GMAC/s"
        (5050545, '5.0 GMAC/s')
    """
    mixture = _noise(model, seconds)
    peak = _Peak(model)
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        with _Recurrence(counter) as recurrence, peak:
            estimates = model(mixture)
        operations = counter.get_total_flops() + recurrence.correction
        if gradients:
            with peak:
                estimates.sum().backward()
            model.zero_grad()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, operations / 2 / seconds, peak.most / seconds)


@torch.no_grad()
def real_time_factor(model: nn.Module, seconds: float = 4.0, *, repeats: int = 3) -> float:
    """Measure how long a separator works for a second of sound, here and now.

    Args:
        model: a :class:`lib.models.base.Separator`.
        seconds: length of the noise that it separates.
        repeats: how many times, after a first that does not count; the fastest is taken, since
            other work on the machine can only slow it down.

    Returns:
        seconds of work per second of sound; below 1 it is faster than the sound plays.

    Raises:
        InputError: for a time without a sample, or no repeat.

    Example:
        >>> from lib.models import ConvTasNet
        >>> real_time_factor(ConvTasNet.tiny(), seconds=0.5) > 0
        True
    """
    if repeats < 1:
        raise InputError(f"repeats: expected 1 or more, got {repeats}")
    mixture, times = _noise(model, seconds), []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(mixture).flatten()[0].item()  # a GPU has answered before it is done
        times.append(time.perf_counter() - start)
    return min(times[1:]) / seconds
