"""Chapter 17: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch17

from lib.data.augmentation import change_speed
from lib.mixing import mix_at_snr

attention = ch17.my_attention
multiply_adds = ch17.multiply_adds
remix = ch17.remix
_uniform = ch17.uniform


def _without_scale(queries, keys, values):
    return (queries @ keys.transpose(-1, -2)).softmax(-1) @ values


def _divided_by_d(queries, keys, values):
    return (queries @ keys.transpose(-1, -2) / queries.shape[-1]).softmax(-1) @ values


def _softmax_over_queries(queries, keys, values):
    return (queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5).softmax(-2) @ values


def _inside_only(frames, channels, chunk, chunks):
    return 2 * frames**2 * channels, 2 * channels * chunks * chunk**2


def _one_product(frames, channels, chunk, chunks):
    return 2 * frames**2 * channels, channels * chunk * chunks * (chunk + chunks)


def _unchanged(frames, channels, chunk, chunks):
    return 2 * frames**2 * channels


def _piece(recording, speed, draw):
    voice = change_speed(recording, speed)
    start = int(torch.randint(voice.shape[-1] - 8000 + 1, (1,), generator=draw))
    return voice[:, start : start + 8000]


def _one_speed(first, second, draw):
    speed = _uniform(0.9, 1.1, draw)
    pieces = [_piece(one, speed, draw) for one in (first, second)]
    return torch.stack(mix_at_snr(*pieces, _uniform(-5, 5, draw))[1:])


def _no_speed(first, second, draw):
    pieces = [_piece(one, 1.0, draw) for one in (first, second)]
    return torch.stack(mix_at_snr(*pieces, _uniform(-5, 5, draw))[1:])


def _level_before_the_cut(first, second, draw):
    mixed = mix_at_snr(first, second, _uniform(-5, 5, draw))
    return torch.stack([_piece(one, _uniform(0.9, 1.1, draw), draw) for one in mixed[1:]])


def _level_as_amplitude(first, second, draw):
    pieces = [_piece(one, _uniform(0.9, 1.1, draw), draw) for one in (first, second)]
    return torch.stack(mix_at_snr(*pieces, 2 * _uniform(-5, 5, draw))[1:])


def _own_generator(first, second, draw):
    return remix(first, second, torch.Generator().manual_seed(1))


def _mixture(first, second, draw):
    return remix(first, second, draw).sum(0)


RIGHT = {
    "ch17.attention": [attention],
    "ch17.multiply_adds": [multiply_adds],
    "ch17.remix": [remix],
}

WRONG = {
    "ch17.attention": [
        (_without_scale, "by the root of d, the length"),
        (_divided_by_d, "not by d"),
        (_softmax_over_queries, "over the last axis"),
        (lambda queries, keys, values: values, "softmax"),
    ],
    "ch17.multiply_adds": [
        (_inside_only, "across chunks counts, too"),
        (_one_product, "Two products per layer"),
        (_unchanged, "a pair"),
        (lambda *sizes: (1, 1), "Inside: S sequences"),
    ],
    "ch17.remix": [
        (_one_speed, "a speed of its own"),
        (_no_speed, "speed of the first"),
        (_level_before_the_cut, "SNR in dB"),
        (_level_as_amplitude, "SNR in dB"),
        (_own_generator, "from `draw`"),
        (_mixture, "sources"),
    ],
}


def _not_written(*arguments, **named):
    raise NotImplementedError


OPEN = {
    "ch17.attention": [..., None, _not_written, lambda queries, keys, values: None],
    "ch17.multiply_adds": [..., None, _not_written, lambda *sizes: None],
    "ch17.remix": [..., None, _not_written, lambda first, second, draw: None],
}
