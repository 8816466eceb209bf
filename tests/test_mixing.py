import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.mixing import (
    active_level,
    active_snr_db,
    convolutive_mix,
    level_db,
    mix_at_snr,
    peak_normalise,
    rms,
)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def measured_snr(mixed, dim=-1):
    power = [part.double().square().mean(dim) for part in (mixed.target, mixed.interference)]
    return 10 * torch.log10(power[0] / power[1])


@given(
    snr_db=st.floats(-60, 60),
    gain=st.floats(1e-4, 1e4),
    time=st.integers(1, 400),
    seed=st.integers(0, 1000),
)
def test_the_mixed_snr_is_the_requested_one(snr_db, gain, time, seed):
    target, interference = noise(2, time, seed=seed)
    mixed = mix_at_snr(target, gain * interference, snr_db)
    assert abs(measured_snr(mixed).item() - snr_db) < 1e-6
    assert torch.equal(mixed.mixture, mixed.target + mixed.interference)
    assert torch.equal(mixed.target, target)


def test_float32_keeps_dtype_and_snr():
    mixed = mix_at_snr(*noise(2, 3, 2, 8000, dtype=torch.float32), snr_db=-7.5)
    assert mixed.mixture.dtype == torch.float32 and mixed.mixture.shape == (3, 2, 8000)
    torch.testing.assert_close(
        measured_snr(mixed), torch.full((3, 2), -7.5, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_one_snr_per_item():
    snr_db = torch.tensor([-5.0, 0.0, 5.0])
    mixed = mix_at_snr(*noise(2, 3, 500), snr_db=snr_db)
    torch.testing.assert_close(measured_snr(mixed), snr_db.double(), atol=1e-6, rtol=0)
    stereo = mix_at_snr(*noise(2, 3, 2, 500), snr_db=snr_db, dim=(-2, -1))
    torch.testing.assert_close(measured_snr(stereo, (-2, -1)), snr_db.double(), atol=1e-6, rtol=0)


def test_joint_channels_keep_the_balance():
    target, interference = noise(2, 2, 500)
    interference[1] *= 0.1
    mixed = mix_at_snr(target, interference, 3.0, dim=(-2, -1))
    gains = mixed.interference / interference
    torch.testing.assert_close(gains, gains[:1, :1].expand_as(gains))


@pytest.mark.parametrize("snr_db", [math.nan, math.inf])
def test_mix_wants_a_finite_snr(snr_db):
    with pytest.raises(InputError, match="snr_db: expected finite"):
        mix_at_snr(*noise(2, 10), snr_db=snr_db)


def test_mix_refuses_what_has_no_snr():
    with pytest.raises(InputError, match="interference: expected a signal, got silence"):
        mix_at_snr(torch.ones(2, 5), torch.tensor([[1.0], [0.0]]).expand(2, 5), 0.0)
    with pytest.raises(InputError, match="target: expected a signal, got silence"):
        mix_at_snr(torch.zeros(5), torch.ones(5), 0.0)
    with pytest.raises(InputError, match="expected equal shapes"):
        mix_at_snr(torch.ones(5), torch.ones(6), 0.0)
    with pytest.raises(InputError, match="torch.from_numpy"):
        mix_at_snr(np.ones(5), torch.ones(5), 0.0)
    with pytest.raises(InputError, match="one per item"):
        mix_at_snr(torch.ones(3, 5), torch.ones(3, 5), torch.zeros(2))


def test_mixing_is_differentiable():
    target, interference = (signal.requires_grad_() for signal in noise(2, 8).unbind())
    assert torch.autograd.gradcheck(
        lambda t, i: mix_at_snr(t, i, 3.0).mixture, (target, interference)
    )


def test_levels():
    tone = torch.sin(2 * torch.pi * torch.arange(1600, dtype=torch.float64) / 16)
    assert level_db(tone).item() == pytest.approx(-3.0103, abs=1e-4)
    assert rms(tone).item() == pytest.approx(2**-0.5)
    assert level_db(torch.zeros(2, 3)).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("pause", [0, 4800, 48000])
def test_pauses_do_not_change_the_active_level(pause):
    speech = torch.cat([noise(4800), torch.zeros(pause)])
    expected = level_db(speech[:4800]).item()
    assert active_level(speech, 16000).item() == pytest.approx(expected, abs=1e-9)
    background = noise(4800 + pause, seed=1)
    snr = active_snr_db(speech, background, 16000).item()
    assert snr == pytest.approx(expected - level_db(background).item(), abs=1e-9)


def test_active_level_of_odd_signals():
    assert active_level(torch.zeros(100), 8000).item() == -math.inf
    assert active_level(torch.full((3, 1), 0.1), 8000)[2].item() == pytest.approx(-20, abs=1e-5)
    for rate in (0, math.nan, math.inf, "8000"):
        with pytest.raises(InputError, match="positive"):
            active_level(torch.ones(5), rate)
    with pytest.raises(InputError, match="frame_seconds"):
        active_level(torch.ones(5), 8000, frame_seconds=math.nan)


@given(seed=st.integers(0, 1000), peak=st.floats(0.01, 2.0), scale=st.floats(1e-3, 1e3))
def test_one_gain_for_all_can_be_undone(seed, peak, scale):
    target, interference = scale * noise(2, 50, seed=seed)
    *scaled, gain = peak_normalise(target + interference, target, interference, peak=peak)
    assert max(signal.abs().max().item() for signal in scaled) == pytest.approx(peak)
    torch.testing.assert_close(scaled[0], scaled[1] + scaled[2])
    torch.testing.assert_close(scaled[1] / gain, target)


def test_peak_normalise_refuses_silence_and_nonsense():
    with pytest.raises(InputError, match="only silence"):
        peak_normalise(torch.zeros(3), torch.zeros(2))
    with pytest.raises(InputError, match="at least one tensor"):
        peak_normalise()
    with pytest.raises(InputError, match="peak"):
        peak_normalise(torch.ones(3), peak=0.0)


def test_convolutive_mix_equals_direct_convolution():
    sources, responses, sensor = noise(2, 3, 50), noise(3, 2, 7, seed=1), noise(2, 2, 50, seed=2)
    heard = convolutive_mix(sources, responses, sensor)
    assert heard.mixture.shape == (2, 2, 50) and heard.images.shape == (2, 3, 2, 50)
    for batch in range(2):
        for mic in range(2):
            direct = sum(
                np.convolve(sources[batch, s].numpy(), responses[s, mic].numpy())[:50]
                for s in range(3)
            )
            np.testing.assert_allclose(
                heard.mixture[batch, mic], direct + sensor[batch, mic].numpy(), atol=1e-12
            )
    torch.testing.assert_close(heard.mixture, heard.images.sum(1) + sensor)


def test_responses_may_be_longer_than_the_sources_and_of_one_tap():
    sources = noise(1, 5)
    delayed = torch.zeros(1, 1, 20, dtype=torch.float64)
    delayed[..., 3] = 1
    expected = torch.cat([torch.zeros(1, 3), sources[:, :2]], -1)
    torch.testing.assert_close(convolutive_mix(sources, delayed).mixture, expected)
    one_tap = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    torch.testing.assert_close(convolutive_mix(sources[:, :1], one_tap).mixture, sources[:, :1] / 2)


def test_convolutive_mix_checks_its_shapes():
    with pytest.raises(InputError, match="2 sources in dimension -3"):
        convolutive_mix(torch.ones(2, 9), torch.ones(3, 1, 4))
    with pytest.raises(InputError, match="expected sources"):
        convolutive_mix(torch.ones(9), torch.ones(1, 4))
    with pytest.raises(InputError, match="noise and mixture"):
        convolutive_mix(torch.ones(2, 9), torch.ones(2, 1, 4), torch.ones(2, 9))
    with pytest.raises(InputError, match="leading dimensions"):
        convolutive_mix(torch.ones(3, 2, 9), torch.ones(4, 2, 1, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_convolutive_mix_of_half_precision(dtype):
    mixed = convolutive_mix(torch.ones(2, 9, dtype=dtype), torch.ones(2, 1, 4, dtype=dtype))
    torch.testing.assert_close(mixed.mixture[0, -1], torch.tensor(8.0))
