"""Chapter 14: right answers, and the wrong ones that a reader is likely to hand in."""

from __future__ import annotations

import torch
from worked import ch14

latency, decoder = ch14.my_latency, ch14.my_decoder


def _whole_frame(kernel_size, stride, later_frames, sample_rate):
    samples = kernel_size + later_frames * stride
    return samples, 1000 * samples / sample_rate


def _whole_frames_ahead(kernel_size, stride, later_frames, sample_rate):
    samples = kernel_size - 1 + later_frames * kernel_size
    return samples, 1000 * samples / sample_rate


def _hop_only(kernel_size, stride, later_frames, sample_rate):
    samples = stride - 1 + later_frames * stride
    return samples, 1000 * samples / sample_rate


def _seconds(kernel_size, stride, later_frames, sample_rate):
    samples = kernel_size - 1 + later_frames * stride
    return samples, samples / sample_rate


RIGHT = {
    "ch14.slide": [ch14.right_ones, ["h", "e", "c", "b"], "BCEH"],
    "ch14.latency": [latency],
    "ch14.decoder": [decoder],
}

WRONG = {
    "ch14.slide": [
        ({"a", "c", "e", "h"}, "a is ticked"),
        ({"c", "e", "h"}, "b is right, and not ticked"),
        ({"b", "c", "d", "e", "h"}, "One linear decoder"),
        ({"b", "c", "e", "f", "h"}, "23.6 million"),
        ({"b", "c", "e", "g", "h"}, "mean SDR"),
        ({"b", "x"}, "from a to h, got x"),
        (4, "expected a set"),
    ],
    "ch14.latency": [
        (_whole_frame, "is there already"),
        (_whole_frames_ahead, "not a whole frame"),
        (_hop_only, "may begin with it"),
        (_seconds, "1000 milliseconds"),
        (lambda kernel_size, stride, later_frames, sample_rate: kernel_size - 1, "a pair"),
    ],
    "ch14.decoder": [
        (lambda filters, stride: torch.linalg.pinv(filters).T, "divide"),
        (lambda filters, stride: torch.linalg.pinv(filters), "expected shape"),
        (lambda filters, stride: filters, "no inverse"),
    ],
}


def _not_written(*arguments):
    raise NotImplementedError


OPEN = {
    "ch14.slide": [..., None],
    "ch14.latency": [..., None, _not_written],
    "ch14.decoder": [..., None, _not_written, lambda filters, stride: None],
}
