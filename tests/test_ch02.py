"""Chapter 2: what its text claims is true."""

from __future__ import annotations

import pytest
import torch
from solutions import ch02 as solutions

from lib.data import speech
from lib.errors import InputError
from lib.stft import (
    STFT,
    amplitude_to_db,
    griffin_lim,
    inconsistency,
    instantaneous_frequency,
    make_window,
)
from lib.widgets import stft_microscope


def test_the_reference_inverse_and_lib_agree():
    stft = STFT(200, 70, "blackman")
    noise = torch.randn(2, 101, stft.frames(900), dtype=torch.float64)
    spectrogram = torch.complex(*noise)
    ours = stft.inverse(spectrogram, 900)
    theirs = solutions.istft(spectrogram, stft.window, 70, 900)
    torch.testing.assert_close(theirs, ours, atol=1e-10, rtol=1e-10)


def test_least_squares_means_nearest():
    stft = STFT(64, 24)
    noise = torch.randn(2, 33, stft.frames(300), dtype=torch.float64)
    wanted = torch.complex(*noise)

    def distance(signal):
        """Of whole spectra: the mirrored half counts too."""
        gap = (stft(signal) - wanted).abs().square()
        return 2 * gap.sum() - gap[0].sum() - gap[-1].sum()

    best = stft.inverse(wanted, 300)
    for _ in range(20):
        assert distance(best) < distance(best + 0.01 * torch.randn(300, dtype=torch.float64))


def test_length_times_gap_is_a_constant_of_the_window():
    """The chapter's table: a Hann window tells tones apart that lie two bins apart."""
    for n_fft in (256, 1024):
        ridge = torch.fft.rfft(make_window("hann", n_fft), 64 * n_fft).abs() ** 2
        dips = [ridge[0] + ridge[gap] >= 4 * ridge[gap // 2] for gap in range(0, 512, 2)]
        assert dips.index(True) == 64  # in steps of 1/64 bin, two at a time: 128 / 64 = 2 bins


def test_phase_differences_read_a_tone_between_bins():
    fine = STFT(512, 32)
    tone = torch.sin(2 * torch.pi * 1010.0 * torch.arange(16000).double() / 16000)
    read = instantaneous_frequency(fine(tone), fine, 16000)[31:34, 250]
    assert (read - 1010).abs().max() < 0.05


def test_one_floor_hides_what_another_shows():
    one, two = solutions.LOUD, solutions.FAINT_TOO
    magnitudes = [STFT(512, 128)(signal).abs() for signal in (one, two)]
    top = magnitudes[0].max()
    at_80, at_120 = (
        [amplitude_to_db(values, top, floor) for values in magnitudes] for floor in (-80.0, -120.0)
    )
    assert (at_80[0] - at_80[1]).abs().max() < 1e-3
    assert (at_120[0] - at_120[1]).abs().max() > 10


def test_a_half_overlap_flatters_griffin_lim():
    """Judged on a fine grid, the hop of N/2 is behind, whatever its own convergence says."""
    voice = speech("test", index=0)[0, :32000].double()
    fine = STFT(512, 64)
    wanted = fine(voice).abs()
    missed = {}
    for hop in (256, 128):
        grid = STFT(512, hop)
        found = griffin_lim(grid(voice).abs(), grid, len(voice), 30).waveform
        missed[hop] = 20 * ((fine(found).abs() - wanted).norm() / wanted.norm()).log10()
    assert missed[128] < missed[256] - 1


def test_another_phase_belongs_to_no_sound():
    stft = STFT(256, 64)
    signal = torch.randn(3000, dtype=torch.float64)
    spectrogram = stft(signal)
    rounded = (spectrogram.angle() / (torch.pi / 2)).round() * (torch.pi / 2)
    changed = torch.polar(spectrogram.abs(), rounded)
    assert inconsistency(spectrogram, stft, 3000) < -250
    assert inconsistency(changed, stft, 3000) > -15


def test_the_microscope_takes_mono_only_and_names_its_sounds():
    noise = 0.1 * torch.randn(1600)
    panel = stft_microscope({"A": noise, "B": noise[None]}, 16000)
    assert [sound["name"] for sound in panel.config["sounds"]] == ["A", "B"]
    with pytest.raises(InputError, match="one channel"):
        stft_microscope({"A": torch.stack([noise, noise])}, 16000)
    with pytest.raises(InputError, match="gap"):
        stft_microscope({"A": noise}, 16000, gap=500)
