"""Chapter 20: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d
from worked import ch20

from lib.masks import OracleMask, complex_ideal_ratio_mask
from lib.metrics import si_sdr

complex_convolution = ch20.complex_convolution
price_of_a_bound = ch20.price_of_a_bound
tie = ch20.tie
nearest = ch20.nearest


def _score(mixture, sources, stft, bound, **options):
    mask = complex_ideal_ratio_mask(stft(sources), mixture=stft(mixture), bound=bound, **options)
    return si_sdr(stft.inverse(mask[0] * stft(mixture), mixture.shape[-1]), sources[0])


def _by_oracle(mixture, sources, stft, low, high):
    given = mixture[None, None], sources[None, :, None]
    scores = [
        float(si_sdr(OracleMask("cirm", stft, bound=bound)(*given)[0, 0, 0], sources[0]))
        for bound in (low, high)
    ]
    return scores[1] - scores[0]


def _with_a_real_mask(mixture, sources, stft, low, high):
    real = OracleMask("npsm", stft, clip=low)(mixture[None, None], sources[None, :, None])
    return _score(mixture, sources, stft, high) - si_sdr(real[0, 0, 0], sources[0])


def _with_tanh(mixture, sources, stft, low, high):
    scores = [_score(mixture, sources, stft, one, bound_kind="tanh") for one in (low, high)]
    return scores[1] - scores[0]


def _first_blocks(weight):
    first = weight.chunk(2, 1)[0]
    return first.chunk(2)


def _no_minus(weight):
    top, bottom = weight.chunk(2)
    return nearest(weight)[0], (bottom.chunk(2, 1)[0] + top.chunk(2, 1)[1]) / 2


RIGHT = {
    "ch20.complex_convolution": [
        complex_convolution,
        lambda x, y, a, b: conv2d(torch.complex(x, y), torch.complex(a, b)),
    ],
    "ch20.price_of_a_bound": [price_of_a_bound, _by_oracle],
    "ch20.tie": [(tie, nearest)],
}

WRONG = {
    "ch20.complex_convolution": [
        (lambda x, y, a, b: (conv2d(x, a) + conv2d(y, b), conv2d(x, b) + conv2d(y, a)), "is -1"),
        (lambda x, y, a, b: (conv2d(x, a), conv2d(y, b)), "A * x alone"),
        (
            lambda x, y, a, b: (conv2d(x, a) - conv2d(y, b), -conv2d(x, b) - conv2d(y, a)),
            "conjugate",
        ),
        (
            lambda x, y, a, b: (conv2d(x, a) - conv2d(y, b), conv2d(y, b) + conv2d(x, a)),
            "the other part of the weight",
        ),
        (lambda x, y, a, b: conv2d(x, a), "expected a pair"),
    ],
    "ch20.price_of_a_bound": [
        (lambda *given: -price_of_a_bound(*given), "a cost is positive"),
        (_with_a_real_mask, "yours is real"),
        (_with_tanh, "Shorten the modulus"),
        (lambda mixture, sources, stft, low, high: high - low, "the wider minus the narrower"),
        (lambda *given: "1 dB", "expected numbers"),
    ],
    "ch20.tie": [
        ((lambda a, b: tie(a, -b), nearest), "Where does the minus stand?"),
        ((lambda a, b: torch.cat([a, b], 1), nearest), "expected a weight of shape"),
        ((lambda a, b: tie(b, a), nearest), "Rows: real and imaginary part"),
        ((tie, _first_blocks), "half way"),
        ((tie, _no_minus), "holds -B"),
        (tie, "a pair"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch20.complex_convolution": [..., None, _not_written, lambda *parts: None],
    "ch20.price_of_a_bound": [..., None, _not_written, lambda *given: None],
    "ch20.tie": [..., None, (_not_written, nearest), (tie, lambda weight: None)],
}
