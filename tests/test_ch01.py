"""Chapter 1: what its text claims is true."""

from __future__ import annotations

import pytest
import torch
from solutions import ch01 as solutions

from lib import mixing
from lib.errors import InputError
from lib.stft import STFT
from lib.widgets import mixing_desk


def test_the_reference_and_lib_agree():
    target, noise = torch.randn(2, 500, dtype=torch.float64)
    mixture, scaled = solutions.mix_at_snr(target, noise, 4.0)
    ours = mixing.mix_at_snr(target, noise, 4.0)
    torch.testing.assert_close(ours.mixture, mixture)
    torch.testing.assert_close(ours.interference, scaled)


def test_a_compressed_sum_has_no_gain_that_makes_it_a_sum_again():
    stems = torch.randn(4, 4000, dtype=torch.float64)
    plain = stems.sum(0)
    produced = torch.tanh(plain)
    gain = (produced @ plain) / (plain @ plain)
    assert (produced - gain * plain).norm() / produced.norm() > 0.05


def test_the_stft_of_a_sum_is_the_sum_of_the_stfts():
    stft = STFT(256, 64)
    voice, noise = torch.randn(2, 3000, dtype=torch.float64)
    torch.testing.assert_close(stft(voice + 0.3 * noise), stft(voice) + 0.3 * stft(noise))


def test_the_desk_carries_what_it_was_given():
    voice, rain = torch.rand(2, 800) - 0.5
    desk = mixing_desk(voice, {"rain": rain, "hiss": rain}, 8000, targets_db=[3])
    assert [noise["name"] for noise in desk.config["noises"]] == ["rain", "hiss"]
    assert desk.config["targets_db"] == [3.0]
    assert "<unmix-mixing-desk " in desk._repr_html_()


@pytest.mark.parametrize(
    ("voice", "noises", "options", "message"),
    [
        (torch.ones(8), {}, {}, "at least one entry"),
        (torch.ones(8), torch.ones(8), {}, "dict of name to signal"),
        (torch.ones(8), {"rain": torch.ones(7)}, {}, "8 samples, got 7"),
        (torch.zeros(8), {"rain": torch.ones(8)}, {}, "silence"),
        (torch.ones(8), {"rain": torch.ones(2, 8)}, {}, "one channel"),
        (torch.ones(8), {"rain": 2 * torch.ones(8)}, {}, "peak of 2"),
        (torch.ones(8), {"rain": torch.ones(8)}, {"targets_db": []}, "targets_db"),
        (torch.ones(8), {"rain": torch.ones(8)}, {"targets_db": [float("nan")]}, "targets_db"),
    ],
)
def test_the_desk_refuses_what_it_cannot_show(voice, noises, options, message):
    with pytest.raises(InputError, match=message):
        mixing_desk(voice, noises, 8000, **options)
