"""Chapter 15: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch15

receptive_field, cumulative_norm, parameters = ch15.field, ch15.my_norm, ch15.parameters


def _without_itself(*sizes):
    frames, seconds = receptive_field(*sizes)
    return frames - 1, seconds


def _itself_in_each_repeat(taps, blocks, repeats, *rest):
    frames, seconds = receptive_field(taps, blocks, 1, *rest)
    return repeats * frames, seconds


def _hops_only(*sizes):
    frames, _ = receptive_field(*sizes)
    return frames, frames * sizes[3] / 2 / sizes[4]


def _global_norm(features, eps=1e-8):
    return (features - features.mean()) / (features.var(correction=0) + eps).sqrt()


def _channel_norm(features, eps=1e-8):
    mean, variance = features.mean(0), features.var(0, correction=0)
    return (features - mean) / (variance + eps).sqrt()


def _frames_counted_only(features, eps=1e-8):
    counts = torch.arange(1, features.shape[1] + 1)
    mean = features.sum(0).cumsum(0) / counts
    power = features.square().sum(0).cumsum(0) / counts
    return (features - mean) / ((power - mean.square()).clamp_min(0) + eps).sqrt()


def _full_convolutions(
    filters, kernel_size, bottleneck, hidden, skip, taps, blocks, repeats, speakers
):
    least = parameters(
        filters, kernel_size, bottleneck, hidden, skip, taps, blocks, repeats, speakers
    )
    return least + repeats * blocks * (hidden**2 * taps - hidden * taps)


def _without_skip(**sizes):
    return (
        parameters(**sizes) - sizes["repeats"] * sizes["blocks"] * sizes["hidden"] * sizes["skip"]
    )


def _one_mask(**sizes):
    return parameters(**(sizes | {"speakers": 1}))


RIGHT = {
    "ch15.receptive_field": [receptive_field],
    "ch15.cumulative_norm": [cumulative_norm],
    "ch15.parameters": [parameters],
}

WRONG = {
    "ch15.receptive_field": [
        (_without_itself, "itself counts, too"),
        (_itself_in_each_repeat, "not once per repeat"),
        (_hops_only, "the last one lasts"),
        (lambda *sizes: 1531, "a pair"),
    ],
    "ch15.cumulative_norm": [
        (_global_norm, "That is gLN"),
        (_channel_norm, "That is the channel norm"),
        (_frames_counted_only, "times as many numbers"),
    ],
    "ch15.parameters": [
        (_full_convolutions, "per block B H, H P"),
        (_without_skip, "H Sc"),
        (_one_mask, "per speaker"),
        (lambda **sizes: "5.05 M", "expected a number"),
    ],
}


def _not_written(*arguments, **named):
    raise NotImplementedError


OPEN = {
    "ch15.receptive_field": [..., None, _not_written, lambda *sizes: None],
    "ch15.cumulative_norm": [..., None, _not_written, lambda features: None],
    "ch15.parameters": [..., None, _not_written, lambda **sizes: None],
}
