"""Chapter 23: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from torch.nn import functional
from worked import ch23

from lib.losses import multi_resolution_stft_loss
from lib.stft import STFT, make_window

glu = ch23.glu
gradient = ch23.gradient
total_stride = ch23.total_stride
valid_length = ch23.valid_length


def _joined(first, second):
    """The gradient with other halves, of values, open gates and what comes from above."""

    def slope(features, upstream):
        values, gates = features.chunk(2, 1)
        return torch.cat([part(values, gates.sigmoid(), upstream) for part in (first, second)], 1)

    return slope


def _values(values, opened, upstream):
    return upstream * opened


def _rounded_down(length, depth, kernel_size, stride, resampling):
    frames = length * resampling
    for _ in range(depth):
        frames = max(1, (frames - kernel_size) // stride + 1)
    for _ in range(depth):
        frames = (frames - 1) * stride + kernel_size
    return -(-frames // resampling)


def _without_overlap(length, depth, kernel_size, stride, resampling):
    frames = length * resampling
    for _ in range(depth):
        frames = max(1, -(-(frames - kernel_size) // stride) + 1)
    return -(-frames * stride**depth // resampling)


def _rounded_down_at_the_end(length, depth, kernel_size, stride, resampling):
    reached = valid_length(length * resampling, depth, kernel_size, stride, 1)
    return reached // resampling


def _not_interpolated(length, depth, kernel_size, stride, resampling):
    return valid_length(length, depth, kernel_size, stride, 1)


def _terms(estimate, reference, n_fft, hop_length, window_length):
    for size, hop, length in zip(n_fft, hop_length, window_length, strict=True):
        stft = STFT(size, hop, make_window("hann", length))
        yield (stft(one).abs().square().clamp_min(1e-7).sqrt() for one in (estimate, reference))


def _norm(picture):
    return torch.linalg.vector_norm(picture, dim=(-2, -1))


def _loss(convergence, logs):
    """A loss of these two terms, averaged over resolutions."""

    def loss(estimate, reference, *resolutions):
        parts = []
        for ours, truth in _terms(estimate, reference, *resolutions):
            parts.append(convergence(ours, truth) + logs(ours, truth))
        return sum(parts) / len(parts)

    return loss


def _convergence(ours, truth):
    return _norm(truth - ours) / _norm(truth)


def _logs(ours, truth):
    return (truth.log() - ours.log()).abs().mean((-2, -1))


stft_loss = _loss(_convergence, _logs)


def _unbounded(estimate, reference, n_fft, hop_length, window_length):
    parts = []
    for size, hop, length in zip(n_fft, hop_length, window_length, strict=True):
        stft = STFT(size, hop, make_window("hann", length))
        ours, truth = stft(estimate).abs(), stft(reference).abs()
        parts.append(_convergence(ours, truth) + _logs(ours, truth))
    return sum(parts) / len(parts)


def _mirrored(estimate, reference, n_fft, hop_length, window_length):
    parts = []
    for size, hop, length in zip(n_fft, hop_length, window_length, strict=True):
        window = torch.hann_window(length, dtype=estimate.dtype)
        ours, truth = (
            torch.stft(one, size, hop, length, window, return_complex=True).abs().clamp_min(1e-3)
            for one in (estimate, reference)
        )
        parts.append(_convergence(ours, truth) + _logs(ours, truth))
    return sum(parts) / len(parts)


def _sum(*arguments):
    return len(arguments[2]) * stft_loss(*arguments)


RIGHT = {
    "ch23.glu": [
        (glu, gradient),
        [lambda features: functional.glu(features, 1), gradient],
    ],
    "ch23.valid_length": [(valid_length, total_stride)],
    "ch23.stft_loss": [ch23.stft_loss, multi_resolution_stft_loss],
}

WRONG = {
    "ch23.glu": [
        ((lambda x: x.chunk(2, 1)[1] * x.chunk(2, 1)[0].sigmoid(), gradient), "not the first"),
        ((lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].tanh(), gradient), "not the tangent"),
        ((lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1], gradient), "the product alone"),
        ((lambda x: x[:, ::2] * x[:, 1::2].sigmoid(), gradient), "not every second channel"),
        ((glu, _joined(_values, lambda v, o, u: torch.zeros_like(v))), "The gates learn, too"),
        ((glu, _joined(_values, lambda v, o, u: u * v * o)), "sigmoid * (1 - sigmoid)"),
        ((glu, _joined(_values, lambda v, o, u: u * o * (1 - o))), "by the values that pass it"),
        (
            (glu, _joined(lambda v, o, u: o, lambda v, o, u: v * o * (1 - o))),
            "What comes from above",
        ),
        (glu, "a pair"),
    ],
    "ch23.valid_length": [
        ((_rounded_down, total_stride), "round up"),
        ((_without_overlap, total_stride), "Frames overlap"),
        ((_rounded_down_at_the_end, total_stride), "round up at the end, too"),
        ((_not_interpolated, total_stride), "end with it"),
        ((valid_length, lambda depth, stride, _: stride**depth), "the interpolated signal"),
        ((valid_length, lambda depth, stride, _: stride * depth), "multiply"),
        (valid_length, "a pair"),
    ],
    "ch23.stft_loss": [
        (_mirrored, "lib.stft.STFT"),
        (_sum, "take the mean"),
        (_loss(_convergence, lambda a, b: _logs(a, b) / torch.tensor(10.0).log()), "natural"),
        (_loss(lambda a, b: _norm(b - a) / _norm(a), _logs), "not of the estimate"),
        (_loss(_convergence, lambda a, b: 2 * _logs(a, b)), "not of powers"),
        (_loss(lambda a, b: _convergence(a, b) ** 2, _logs), "not its square"),
        (_loss(_convergence, lambda a, b: 0), "the logarithms are missing"),
        (_loss(lambda a, b: 0, _logs), "the spectral convergence is missing"),
        (lambda *arguments: stft_loss(*arguments).mean(), "One loss for each item"),
        (lambda *arguments: stft_loss(*arguments).detach(), "Stay with tensors"),
        (_unbounded, "raise powers"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch23.glu": [..., None, (_not_written, gradient), (lambda x: None, gradient)],
    "ch23.valid_length": [..., None, (_not_written, total_stride), (valid_length, _not_written)],
    "ch23.stft_loss": [..., None, _not_written, lambda *arguments: None],
}
