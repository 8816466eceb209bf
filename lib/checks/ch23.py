"""Checks of chapter 23: gated linear units, lengths of a Demucs, a loss of several resolutions."""

from __future__ import annotations

import random

import torch
from torch.nn import functional

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.losses import multi_resolution_stft_loss
from lib.models import Denoiser
from lib.stft import STFT, make_window

# ------------------------------------------------------------------ 1


def _forward_hint(got, features: torch.Tensor) -> str:
    """Which other unit this is, if it is a known one."""
    values, gates = features.chunk(2, 1)
    others = {
        "The gate is the second half of the channels, not the first.": gates * values.sigmoid(),
        "A gate lies between 0 and 1: take the sigmoid, not the tangent.": values * gates.tanh(),
        "That is the product alone. The second half goes through a sigmoid.": values * gates,
        "Halves, not every second channel.": features[:, ::2] * features[:, 1::2].sigmoid(),
    }
    for hint, other in others.items():
        if isinstance(got, torch.Tensor) and got.shape == other.shape:
            if torch.allclose(got.double(), other):
                return hint
    return "Half of the channels, times the sigmoid of the other half."


def _slope_hint(got, features: torch.Tensor, upstream: torch.Tensor) -> str:
    """Which factor of the derivative is missing, if it is a known one."""
    values, gates = features.chunk(2, 1)
    open_gates = gates.sigmoid()
    slope = open_gates * (1 - open_gates)
    halves = {
        "What comes from above multiplies both halves.": (open_gates, values * slope),
        "The derivative of a sigmoid is sigmoid * (1 - sigmoid).": (
            upstream * open_gates,
            upstream * values * open_gates,
        ),
        "Multiply the slope of the gate by the values that pass it.": (
            upstream * open_gates,
            upstream * slope,
        ),
        "The gates learn, too: their half is not zero.": (
            upstream * open_gates,
            torch.zeros_like(values),
        ),
    }
    for hint, pair in halves.items():
        if isinstance(got, torch.Tensor) and got.shape == features.shape:
            if torch.allclose(got.double(), torch.cat(pair, 1)):
                return hint
    return "The product rule, one half after the other, joined along the channels."


@exercise("ch23.glu")
def glu(answer):
    """Compare both with PyTorch's, for several sizes, and the gradient with differences."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (glu, gradient)")
    forward, gradient = answer
    for batch, channels, frames in ((1, 2, 1), (2, 6, 5), (3, 8, 20), (1, 10, 3)):
        features = torch.randn(batch, channels, frames, dtype=torch.float64)
        what = f"features of shape {tuple(features.shape)}"
        got = forward(features.clone())
        hint = _forward_hint(got, features)
        close(got, functional.glu(features, 1), what, atol=1e-10, rtol=0, hint=hint)
        upstream = torch.randn(batch, channels // 2, frames, dtype=torch.float64)
        tracked = features.clone().requires_grad_()
        functional.glu(tracked, 1).backward(upstream)
        got = gradient(features.clone(), upstream.clone())
        hint = _slope_hint(got, features, upstream)
        close(got, tracked.grad, f"the gradient for {what}", atol=1e-10, rtol=0, hint=hint)
        # moving a number a little must change the sum by the gradient
        step = torch.randn_like(features) * 1e-6
        change = (forward(features + step) - forward(features - step)) * upstream / 2
        close(change.sum(), (got * step).sum(), "a small step along the gradient", atol=1e-12)
    return "4 sizes, and the gradient against differences"


# ------------------------------------------------------------------ 2

# levels, samples of a frame, stride, interpolation: the published ones, and others
_SIZES = ((5, 8, 4, 4), (5, 8, 2, 2), (4, 8, 4, 1), (3, 8, 2, 4), (2, 6, 3, 1))


def _length_hint(got, length: int, sizes: tuple[int, ...]) -> str:
    """Which mistake gives this length, if it is a known one."""
    depth, kernel_size, stride, resampling = sizes

    def run(frames, round_up, up):
        for _ in range(depth):
            over = frames - kernel_size
            frames = max(1, (-(-over // stride) if round_up else over // stride) + 1)
        for _ in range(depth):
            frames = (frames - 1) * stride + kernel_size if up else frames * stride
        return frames

    mistakes = {
        "The last sample of the mixture may be needed in part: round up at the end, too.": (
            run(length * resampling, True, True) // resampling
        ),
        "Rounded down, the last samples fill no frame: round up.": -(
            -run(length * resampling, False, True) // resampling
        ),
        "The network works on more samples than there are: begin with the interpolation, and end "
        "with it.": run(length, True, True),
        "Frames overlap: K of them reach over (K - 1) * stride + kernel_size samples.": -(
            -run(length * resampling, True, False) // resampling
        ),
    }
    known = (hint for hint, value in mistakes.items() if got == value)
    return next(
        known, "Down: how many frames, rounded up? Up: how many samples do they reach over?"
    )


@exercise("ch23.valid_length")
def valid_length(answer):
    """Twenty lengths for each of five networks, and how far apart their frames lie."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise CheckFailed("expected a pair (valid_length, total_stride)")
    length_of, stride_of = answer
    for sizes in _SIZES:
        depth, kernel_size, stride, resampling = sizes
        model = Denoiser(1, depth, kernel_size, stride, resampling)
        of = f"{depth} levels, frames of {kernel_size}, stride {stride}, interpolation {resampling}"
        got = stride_of(depth, stride, resampling)
        hint = "Each level divides the rate once more."
        if got == stride * depth // resampling or got == stride * depth:
            hint = "Strides of one level after the other multiply."
        elif got == stride**depth and resampling > 1:
            hint = "That counts samples of the interpolated signal."
        close(got, model.stride, f"{of}: the total stride", atol=0, rtol=0, hint=hint)
        lengths = [1, model.frame, model.frame + 1, model.frame + model.stride]
        lengths += [random.randint(1, 20 * model.frame) for _ in range(16)]
        for length in lengths:
            got = length_of(length, depth, kernel_size, stride, resampling)
            what = f"{of}: the valid length for {length} samples"
            right = model.valid_length(length)
            hint = _length_hint(got, length, sizes)
            close(got, right, what, atol=0, rtol=0, hint=hint)
    return "20 lengths for each of 5 networks; 256 samples for the published denoiser"


# ------------------------------------------------------------------ 3

_RESOLUTIONS = (
    ((512, 1024, 2048), (50, 120, 240), (240, 600, 1200)),
    ((256,), (64,), (256,)),
    ((128, 512), (32, 100), (100, 512)),
)


def _magnitudes(signal: torch.Tensor, n_fft: int, hop: int, length: int) -> torch.Tensor:
    spectrogram = STFT(n_fft, hop, make_window("hann", length))(signal)
    return spectrogram.abs().square().clamp_min(1e-7).sqrt()


def _loss_hint(got, estimate, reference, resolutions) -> str:
    """Which mistake gives this loss, if it is a known one."""
    convergence, logs, other = [], [], []
    for setting in zip(*resolutions, strict=True):
        ours, truth = (_magnitudes(one, *setting) for one in (estimate, reference))
        error = torch.linalg.vector_norm(truth - ours, dim=(-2, -1))
        convergence.append(error / torch.linalg.vector_norm(truth, dim=(-2, -1)))
        other.append(error / torch.linalg.vector_norm(ours, dim=(-2, -1)))
        logs.append((truth.log() - ours.log()).abs().mean((-2, -1)))
    first, second, swapped = (torch.stack(part).mean(0) for part in (convergence, logs, other))
    mistakes = {
        "That is the sum over the resolutions; take the mean.": len(logs) * (first + second),
        "The logarithm is the natural one.": first + second / 2.302585092994046,
        "Divide by the norm of the reference, not of the estimate.": swapped + second,
        "That is the spectral convergence alone; the logarithms are missing.": first,
        "Those are the logarithms alone; the spectral convergence is missing.": second,
        "The logarithm is of magnitudes, not of powers.": first + 2 * second,
        "Take the norm of the difference, not its square.": torch.stack(convergence)
        .square()
        .mean(0)
        + second,
    }
    if isinstance(got, torch.Tensor) and got.shape == first.shape:
        for hint, loss in mistakes.items():
            different = not torch.allclose(loss, first + second, atol=1e-4)
            if different and torch.allclose(got.detach().double(), loss, atol=1e-4):
                return hint
    return (
        "||truth - ours|| / ||truth|| plus the mean of |log truth - log ours|, of magnitudes by "
        "lib.stft.STFT with a Hann window of its own length."
    )


@exercise("ch23.stft_loss")
def stft_loss(answer):
    """Compare with lib's, for several sets of resolutions, item by item; then its gradient."""
    time = torch.arange(4000, dtype=torch.float64)
    tones = torch.sin(time * torch.tensor([[0.05], [0.4], [1.1]], dtype=torch.float64))
    reference = tones + 0.3 * torch.randn(3, 4000, dtype=torch.float64)
    estimate = 0.7 * reference + 0.2 * torch.randn(3, 4000, dtype=torch.float64)
    for resolutions in _RESOLUTIONS:
        tracked = estimate.clone().requires_grad_()
        right = multi_resolution_stft_loss(tracked, reference, *resolutions)
        (wanted,) = torch.autograd.grad(right.sum(), tracked)
        got = answer(tracked, reference.clone(), *resolutions)
        if got is None:
            raise NotAttempted
        what = f"FFTs of {', '.join(map(str, resolutions[0]))}: the loss of three items"
        hint = _loss_hint(got, estimate, reference, resolutions)
        if isinstance(got, torch.Tensor) and got.ndim == 0:
            hint = "One loss for each item: average over frequency and time only."
        close(got, right, what, atol=1e-4, rtol=1e-4, hint=hint)
        holds(
            got.requires_grad,
            "expected a loss with a gradient",
            hint="Stay with tensors: no .item(), no .detach(), no NumPy.",
        )
        (slope,) = torch.autograd.grad(got.sum(), tracked)
        close(slope, wanted, f"{what}, its gradient", atol=1e-6, rtol=1e-3)
    silent = torch.zeros(1, 2000, dtype=torch.float64)
    got = answer(silent, silent.clone(), *_RESOLUTIONS[1])
    hint = "Silence has no logarithm and no norm to divide by: raise powers to at least 1e-7."
    holds(
        torch.isfinite(torch.as_tensor(got)).all(),
        "silence: expected a number, got none",
        hint=hint,
    )
    close(got, [0.0], "silence against silence", hint=hint)
    return f"{len(_RESOLUTIONS)} sets of resolutions, with gradients and silence"
