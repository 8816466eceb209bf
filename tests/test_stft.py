import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.stft import (
    STFT,
    amplitude_to_db,
    cola_deviation,
    griffin_lim,
    group_delay,
    inconsistency,
    instantaneous_frequency,
    make_window,
)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(
    n_fft=st.integers(1, 64),
    hop=st.integers(1, 64),
    time=st.integers(1, 300),
    window=st.sampled_from(["hann", "sqrt_hann", "hamming", "blackman", "rectangular"]),
)
def test_round_trip_for_any_length_and_hop(n_fft, hop, time, window):
    assume(hop <= n_fft)
    stft = STFT(n_fft, hop, window)
    waveform = noise(2, time)
    spectrogram = stft(waveform)
    assert spectrogram.shape == (2, n_fft // 2 + 1, stft.frames(time))
    try:
        restored = stft.inverse(spectrogram, time)
    except InputError as error:  # only a window that fades out before the next one has begun
        assert hop > n_fft // 2, error
        return
    assert (restored - waveform).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("n_fft", "hop", "window"),
    [(512, 128, "hann"), (512, 256, "hann"), (512, 200, "hann"), (400, 300, "hamming"),
     (257, 64, "blackman"), (512, 512, "rectangular")],
)  # fmt: skip
@pytest.mark.parametrize("time", [1, 15, 16, 17, 8001, 7919])
def test_round_trip_of_usual_settings(n_fft, hop, window, time):
    stft = STFT(n_fft, hop, window)
    waveform = noise(1, 2, time)
    assert (stft.inverse(stft(waveform), time) - waveform).abs().max() < 1e-10
    single = waveform.float()
    assert (stft.inverse(stft(single), time) - single).abs().max() < 2e-5


def test_equals_torch_stft_where_both_have_frames():
    waveform, stft = noise(3, 2000), STFT(256, 64)
    window = torch.hann_window(256, dtype=torch.float64)
    other = torch.stft(
        waveform, 256, 64, window=window, center=True, pad_mode="constant", return_complex=True
    )
    torch.testing.assert_close(stft(waveform)[..., : other.shape[-1]], other)


def test_equals_librosa():
    librosa = pytest.importorskip("librosa")
    waveform = noise(1500)
    other = librosa.stft(waveform.numpy(), n_fft=256, hop_length=100, pad_mode="constant")
    ours = STFT(256, 100)(waveform)[:, : other.shape[-1]]
    np.testing.assert_allclose(ours.numpy(), other, atol=1e-5)


def test_a_short_window_is_centred():
    window = make_window("hann", 32)
    padded = make_window(window, 64)
    assert torch.equal(padded[16:48], window) and padded[:16].abs().sum() == 0
    stft = STFT(64, 8, window)
    waveform = noise(333)
    torch.testing.assert_close(stft.inverse(stft(waveform), 333), waveform)


@pytest.mark.parametrize("time", [1, 99, 100, 997])
def test_frames_shorter_than_the_fft_have_zeros_behind(time):
    """As frequencies and phases of ``rfft(frame, n)``, which are not those of ``torch.stft``."""
    stft, waveform = STFT(512, 100, win_length=400), noise(2, time)
    spectrogram = stft(waveform)
    assert spectrogram.shape == (2, 257, 1 + -(-time // 100))
    padded = torch.nn.functional.pad(waveform, (200, 300))
    frames = padded.unfold(-1, 400, 100) * make_window("hann", 400)
    expected = torch.from_numpy(np.fft.rfft(frames.numpy(), 512)).transpose(-1, -2)
    torch.testing.assert_close(spectrogram, expected[..., : spectrogram.shape[-1]])
    torch.testing.assert_close(stft.inverse(spectrogram, time), waveform)
    assert repr(stft) == "STFT(n_fft=512, hop_length=100, win_length=400)"


def test_the_inverse_is_least_squares():
    stft = STFT(32, 12)
    wanted = torch.complex(noise(17, stft.frames(100)), noise(17, stft.frames(100), seed=1))
    best = stft.inverse(wanted, 100).requires_grad_()
    difference = stft(best) - wanted
    weight = torch.full((17, 1), 2.0, dtype=torch.float64)
    weight[[0, -1]] = 1.0  # each bin between stands for two of the full FFT
    ((difference.real**2 + difference.imag**2) * weight).sum().backward()
    # imaginary parts at 0 Hz and Nyquist cannot be met, and do not pull
    assert best.grad.abs().max() < 1e-9


def test_gradients_flow_both_ways():
    stft = STFT(8, 3)
    waveform = noise(2, 20).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: stft.inverse(stft(w) * 0.5, 20), (waveform,))


def test_half_precision_is_computed_in_float32():
    assert STFT(16, 4)(noise(50).bfloat16()).dtype == torch.complex64


def test_a_hop_that_leaves_gaps_is_refused():
    stft = STFT(64, 64, "hann")
    with pytest.raises(InputError, match="shorter hop"):
        stft.inverse(stft(noise(500)), 500)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1), "n_fft"), ((8, 0), "hop_length"), ((8, 9), "hop_length"),
     ((8, 2, "nonsense"), "window"), ((8, 2, torch.ones(9)), "at most n_fft=8"),
     ((8, 2, "hann", 9), "win_length: expected an integer from 1 to n_fft=8"),
     ((8, 5, "hann", 4), "from 1 to the 4 samples of a frame, got 5")],
)  # fmt: skip
def test_bad_settings(arguments, message):
    with pytest.raises(InputError, match=message):
        STFT(*arguments)


def test_bad_signals():
    stft = STFT(8, 2)
    with pytest.raises(InputError, match="torch.from_numpy"):
        stft(np.ones(9))
    with pytest.raises(InputError, match="at least one sample"):
        stft(torch.ones(2, 0))
    with pytest.raises(InputError, match="complex"):
        stft.inverse(torch.ones(5, 6), 10)
    with pytest.raises(InputError, match=r"expected \(\.\.\., freq, frames\)"):
        stft.inverse(torch.ones(5, 7) + 0j, 10)
    with pytest.raises(InputError, match="length"):
        stft.frames(0)


def test_axes_have_units():
    stft = STFT(512, 128)
    assert stft.frequencies(16000)[-1] == 8000 and len(stft.frequencies(16000)) == 257
    click = torch.zeros(4000)
    click[128 * 7] = 1
    loudest = stft(click).abs().sum(0).argmax()
    assert loudest == 7
    assert stft.times(20, 16000)[7].item() == pytest.approx(128 * 7 / 16000)


def test_db_with_reference_and_floor():
    magnitude = torch.tensor([[2.0, 0.2], [2e-9, 0.0]])
    torch.testing.assert_close(
        amplitude_to_db(magnitude), torch.tensor([[0.0, -20.0], [-80.0, -80.0]])
    )
    assert amplitude_to_db(magnitude, 1.0, -200.0)[0, 0].item() == pytest.approx(6.0206, abs=1e-4)
    assert (amplitude_to_db(torch.zeros(2, 3, 4)) == -80).all()
    per_item = amplitude_to_db(torch.stack([magnitude, 10 * magnitude]))
    torch.testing.assert_close(per_item[0], per_item[1])
    with pytest.raises(InputError, match="floor_db"):
        amplitude_to_db(magnitude, floor_db=3.0)
    with pytest.raises(InputError, match="reference"):
        amplitude_to_db(magnitude, reference=0.0)


@pytest.mark.parametrize(
    ("name", "hop", "power", "holds"),
    [("hann", 256, 1, True), ("hann", 128, 2, True), ("sqrt_hann", 256, 2, True),
     ("hann", 256, 2, False), ("hann", 384, 1, False), ("rectangular", 512, 1, True)],
)  # fmt: skip
def test_cola(name, hop, power, holds):
    deviation = cola_deviation(make_window(name, 512), hop, power=power)
    assert (deviation < 1e-12) == holds


def test_inconsistency_tells_true_from_modified():
    stft = STFT(64, 16)
    spectrogram = stft(noise(2, 500))
    assert (inconsistency(spectrogram, stft, 500) < -250).all()
    random_phase = torch.polar(spectrogram.abs(), noise(*spectrogram.shape))
    assert (inconsistency(random_phase, stft) > -10).all()


def test_griffin_lim_never_gets_worse_and_is_seeded():
    stft = STFT(64, 16)
    magnitude = stft(noise(2, 700)).abs()
    found = griffin_lim(magnitude, stft, 700, iterations=30, seed=3)
    assert found.waveform.shape == (2, 700) and found.convergence.shape == (2, 30)
    # the theorem weighs 0 Hz and Nyquist half, so leave it a hair
    assert (found.convergence.diff(dim=-1) < 1e-4).all()
    assert (found.convergence[:, -1] < 0.5 * found.convergence[:, 0]).all()
    assert torch.equal(found.waveform, griffin_lim(magnitude, stft, 700, 30, seed=3).waveform)
    assert not torch.equal(found.waveform, griffin_lim(magnitude, stft, 700, 30, seed=4).waveform)
    half = griffin_lim(magnitude.half(), stft, 700, iterations=2)
    assert half.waveform.dtype == torch.float32 and torch.isfinite(half.waveform).all()
    with pytest.raises(InputError, match="negative"):
        griffin_lim(-magnitude, stft, 700)
    with pytest.raises(InputError, match="iterations"):
        griffin_lim(magnitude, stft, 700, iterations=0)


@pytest.mark.parametrize("frequency", [300.0, 1234.5, 5000.0])
def test_instantaneous_frequency_of_a_tone(frequency):
    stft = STFT(512, 64)
    time = torch.arange(8000, dtype=torch.float64) / 16000
    tone = torch.sin(2 * math.pi * frequency * time)
    found = instantaneous_frequency(stft(tone), stft, 16000)
    peak = round(frequency / 16000 * 512)
    assert (found[peak - 1 : peak + 2, 20:100] - frequency).abs().max() < 1.0
    with pytest.raises(InputError, match="two frames"):
        instantaneous_frequency(stft(tone)[:, :1], stft, 16000)


@pytest.mark.parametrize("n_fft, win_length", [(256, 256), (255, 255), (256, 201)])
@pytest.mark.parametrize("offset", [-70, 0, 33])
def test_group_delay_of_a_click(n_fft, win_length, offset):
    stft = STFT(n_fft, 64, win_length=win_length)
    click = torch.zeros(1024, dtype=torch.float64)
    click[512 + offset] = 1
    delay = group_delay(stft(click), stft, 8000)[:, 8] * 8000
    torch.testing.assert_close(delay, torch.full_like(delay, offset))
