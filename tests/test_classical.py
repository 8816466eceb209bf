"""Spectral subtraction and Wiener filtering: what they improve, what they leave alone."""

import math

import pytest
import torch
from torch.nn.functional import interpolate

from lib import classical
from lib.classical.noise_tracking import analysis, noise_power
from lib.data import NoisySpeech
from lib.errors import InputError
from lib.metrics import si_sdr
from lib.mixing import mix_at_snr

DENOISERS = {
    "spectral-subtraction": classical.spectral_subtraction,
    "wiener": classical.wiener_filter,
}
RATE = 16000


def generator(seed):
    return torch.Generator().manual_seed(seed)


def voice(seed, seconds=4, rate=RATE):
    """Syllables: a gliding harmonic tone, on and off."""
    time = int(seconds * rate)
    pitch = 100 + 80 * torch.rand(1, 1, 3 * seconds, generator=generator(seed))
    phase = interpolate(pitch, time, mode="linear")[0, 0].cumsum(0) * (2 * math.pi / rate)
    tone = sum(torch.sin(k * phase) / k for k in range(1, 25))
    syllables = (torch.rand(1, 1, 10 * seconds, generator=generator(seed + 1)) > 0.4).float()
    return 0.1 * tone * interpolate(syllables, time, mode="linear")[0, 0]


def white(seed, time):
    return torch.randn(time, generator=generator(seed))


def pink(seed, time):
    spectrum = torch.fft.rfft(white(seed, time))
    return torch.fft.irfft(spectrum / torch.arange(len(spectrum)).clamp(min=20).sqrt(), time)


def noisy(snr_db=0.0, noise=white, seeds=(0, 10, 20, 30)):
    mixtures = [mix_at_snr(v := voice(s), noise(s + 5, len(v)), snr_db) for s in seeds]
    return [torch.stack([getattr(m, field) for m in mixtures]) for field in m_fields]


m_fields = ("mixture", "target", "interference")


def gain_in_db(enhanced, mixture, speech):
    return float((si_sdr(enhanced, speech) - si_sdr(mixture, speech)).median())


@pytest.mark.parametrize(("noise", "least"), [(white, 4), (pink, 1.5)])
@pytest.mark.parametrize("method", DENOISERS)
def test_tracked_noise_is_reduced_in_synthetic_voices(method, noise, least):
    mixture, speech, _ = noisy(noise=noise)
    assert gain_in_db(DENOISERS[method](mixture, RATE), mixture, speech) > least


@pytest.mark.parametrize("kind", ["pink", "hiss", "fan"])
def test_more_than_3_db_on_the_pack_in_stationary_noise(kind):
    items = list(NoisySpeech("test", items=7, snr_db=0.0, kinds=[kind], seconds=4.0))
    mixture = torch.stack([item.mixture[0] for item in items])
    speech = torch.stack([item.sources[0, 0] for item in items])
    for name, denoise in DENOISERS.items():
        assert gain_in_db(denoise(mixture, RATE), mixture, speech) > 3, name


def test_babble_is_not_removed():
    items = list(NoisySpeech("test", items=7, snr_db=0.0, kinds=["babble"], seconds=4.0))
    mixture = torch.stack([item.mixture[0] for item in items])
    speech = torch.stack([item.sources[0, 0] for item in items])
    for name, denoise in DENOISERS.items():
        assert gain_in_db(denoise(mixture, RATE), mixture, speech) < 3, name


@pytest.mark.parametrize("method", DENOISERS)
def test_known_noise_is_better_than_tracked_noise(method):
    mixture, speech, noise = noisy(noise=pink)
    profile = classical.noise_profile(noise, RATE)
    blind = DENOISERS[method](mixture, RATE)
    informed = DENOISERS[method](mixture, RATE, noise_profile=profile)
    assert si_sdr(informed, speech).median() > si_sdr(blind, speech).median()


@pytest.mark.parametrize("method", DENOISERS)
def test_a_stretch_of_noise_is_its_profile(method):
    mixture, _, noise = noisy()
    mixture = torch.cat([noise[:, :8000], mixture], -1)
    by_stretch = DENOISERS[method](mixture, RATE, noise_seconds=(0, 0.5))
    profile = classical.noise_profile(mixture, RATE, stop=0.5)
    by_profile = DENOISERS[method](mixture, RATE, noise_profile=profile)
    torch.testing.assert_close(by_stretch, by_profile)
    torch.testing.assert_close(DENOISERS[method](mixture, RATE, noise_seconds=0.5), by_stretch)


@pytest.mark.parametrize("method", DENOISERS)
def test_two_voices_are_not_separated(method):
    mixture = torch.stack([voice(s) + voice(s + 100) for s in (0, 10, 20)])
    speech = torch.stack([voice(s) for s in (0, 10, 20)])
    assert gain_in_db(DENOISERS[method](mixture, RATE), mixture, speech) < 1


@pytest.mark.parametrize("method", DENOISERS)
def test_clean_speech_is_left_alone(method):
    clean = voice(0) + 1e-5 * white(1, 4 * RATE)
    assert si_sdr(DENOISERS[method](clean, RATE), clean) > 15


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 511, 512, 513, 8009])
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_any_length_and_rate_and_batch_shape(method, time, rate):
    mixture = white(0, 6 * time).reshape(2, 3, time)
    enhanced = DENOISERS[method](mixture, rate)
    assert enhanced.shape == mixture.shape
    assert torch.isfinite(enhanced).all()
    torch.testing.assert_close(DENOISERS[method](mixture[1, 2], rate), enhanced[1, 2])


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize("options", [{}, {"noise_seconds": 0.1}])
def test_silence_stays_silence(method, options):
    assert (DENOISERS[method](torch.zeros(2, 5000), RATE, **options) == 0).all()


@pytest.mark.parametrize("method", DENOISERS)
def test_half_silent_input_stays_finite(method):
    mixture = voice(0) + 0.05 * white(1, 4 * RATE)
    mixture[RATE : 3 * RATE] = 0
    enhanced = DENOISERS[method](mixture, RATE)
    assert torch.isfinite(enhanced).all()
    assert enhanced[RATE + 600 : 3 * RATE - 600].abs().max() < 1e-6


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_level_does_not_matter(method, scale):
    mixture = noisy()[0][0]
    enhanced = DENOISERS[method](mixture, RATE)
    scaled = DENOISERS[method](mixture * scale, RATE) / scale
    torch.testing.assert_close(scaled, enhanced, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtype_is_kept(method, dtype):
    assert DENOISERS[method](voice(0)[:4000].to(dtype), RATE).dtype == dtype


@pytest.mark.parametrize("silent", [2000, 4000])  # from half of it, the tracked noise is 0
@pytest.mark.parametrize("method", DENOISERS)
def test_gradients_are_finite(method, silent):
    mixture = noisy()[0][0, :8000].clone()
    mixture[:silent] = 0
    mixture.requires_grad_()
    DENOISERS[method](mixture, RATE).square().sum().backward()
    assert torch.isfinite(mixture.grad).all()
    assert mixture.grad.abs().max() > 0


@pytest.mark.parametrize("domain", ["magnitude", "power"])
def test_gradients_are_finite_without_a_floor(domain):
    mixture = noisy()[0][0, :8000].clone().requires_grad_()
    enhanced = classical.spectral_subtraction(mixture, RATE, floor=0.0, domain=domain)
    enhanced.square().sum().backward()
    assert torch.isfinite(mixture.grad).all()


def test_tracker_finds_the_level_of_noise_alone_and_under_speech():
    mixture, _, noise = noisy(noise=pink)
    stft = analysis(RATE)
    truth = classical.noise_profile(noise, RATE)[..., None]
    for signal in (noise, mixture):
        tracked = noise_power(signal, stft(signal), stft, RATE)
        assert (10 * torch.log10(tracked / truth)).mean().abs() < 3


def test_tracker_follows_noise_that_falls_and_rises():
    noise = white(0, 9 * RATE)
    noise[3 * RATE : 6 * RATE] *= 0.1
    stft = analysis(RATE)
    tracked = 10 * torch.log10(noise_power(noise, stft(noise), stft, RATE).mean(-2))
    truth = 10 * math.log10(stft.window.square().sum())
    per_second = tracked[: 9 * 125].reshape(9, 125).median(-1).values - truth
    assert per_second[[1, 8]].abs().max() < 3
    assert (per_second[[4, 5]] + 20).abs().max() < 3


def test_causal_tracker_does_not_look_ahead():
    power = white(0, 20 * 300).reshape(20, 300).square()
    later = power.clone()
    later[:, 200:] *= 100
    options = {"hop_seconds": 0.008, "run_up": False}
    first = classical.minimum_statistics(power, **options)
    second = classical.minimum_statistics(later, **options)
    torch.testing.assert_close(second[:, :200], first[:, :200], rtol=1e-4, atol=0)
    assert (second[:, 299] > 2 * first[:, 299]).any()


def test_subtraction_gain_by_hand():
    power = torch.tensor([[100.0, 4.0, 1.0, 0.0]])
    noise = torch.ones(1, 1)
    magnitude = classical.subtraction_gain(power, noise, over_subtraction=1.0, floor=0.1)
    torch.testing.assert_close(magnitude, torch.tensor([[0.9, 0.5, 0.1, 0.1]]))
    squared = classical.subtraction_gain(
        power, noise, over_subtraction=2.0, floor=0.0, domain="power"
    )
    torch.testing.assert_close(squared, torch.tensor([[0.98**0.5, 0.5**0.5, 0.0, 0.0]]))
    assert classical.subtraction_gain(power, 9 * noise, floor=5.0).max() <= 1


def test_wiener_gain_by_hand():
    prior = torch.tensor([0.0, 0.5, 1.0, 9.0])
    torch.testing.assert_close(classical.wiener_gain(prior), torch.tensor([0, 1 / 3, 0.5, 0.9]))


def test_decision_directed_snr_by_hand():
    power = torch.tensor([[5.0, 3.0]])
    prior = classical.decision_directed_snr(power, torch.ones(1, 1), alpha=0.9)
    kept = (4 / 5) ** 2 * 5
    torch.testing.assert_close(prior, torch.tensor([[4.0, 0.9 * kept + 0.1 * 2]]))


def test_floor_and_over_subtraction_reduce_musical_noise():
    noise = pink(0, 4 * RATE)
    profile = classical.noise_profile(noise, RATE)

    def index(denoiser, **options):
        processed = denoiser(noise, RATE, noise_profile=profile, **options)
        return float(classical.musical_noise_index(processed, noise, RATE))

    bare = index(classical.spectral_subtraction, over_subtraction=1.0, floor=0.0)
    floored = index(classical.spectral_subtraction, over_subtraction=1.0, floor=0.3)
    assert bare > 1
    assert floored < 0.7 * bare
    assert index(classical.spectral_subtraction, over_subtraction=2.0, floor=0.2) < 0.3 * bare


def test_musical_noise_index_of_silence_is_zero():
    noise = white(0, 8000)
    assert classical.musical_noise_index(torch.zeros(8000), noise, RATE) == 0


@pytest.mark.parametrize("method", classical.METHODS)
def test_separator_estimates_add_up_to_the_mixture(method):
    mixture = noisy()[0][:, None]  # (batch, channels, time)
    separator = classical.as_separator(method, RATE)
    estimates = separator(mixture)
    assert estimates.shape == (4, 2, 1, mixture.shape[-1])
    torch.testing.assert_close(estimates.sum(1), mixture)
    assert separator.source_names == ("speech", "noise")


def test_separator_passes_options_on():
    mixture = noisy()[0][:, None]
    separator = classical.as_separator("wiener", RATE, noise_seconds=0.2)
    expected = classical.wiener_filter(mixture, RATE, noise_seconds=0.2)
    torch.testing.assert_close(separator(mixture)[:, 0], expected)


@pytest.mark.parametrize("method", DENOISERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixture": torch.zeros(0)}, "at least one sample"),
        ({"mixture": torch.full((100,), math.nan)}, "NaN"),
        ({"mixture": torch.zeros(100, dtype=torch.int16)}, "floating-point"),
        ({"mixture": torch.zeros(100).numpy()}, "torch.from_numpy"),
        ({"sample_rate": 0}, "positive integer"),
        ({"sample_rate": math.inf}, "positive integer"),
        ({"window_ms": -1}, "above 0"),
        ({"noise_profile": torch.ones(5)}, "expected 257 powers"),
        ({"noise_profile": -torch.ones(257)}, "none negative"),
        ({"noise_profile": torch.ones(2, 257)}, "one profile for each item"),
        ({"noise_seconds": (0.1, 0.2, 0.3)}, "start, stop"),
        ({"noise_profile": torch.ones(257), "noise_seconds": 0.1}, "at most one"),
        ({"noise_seconds": 9.0}, "stretch"),
        ({"noise_seconds": (0.3, 0.2)}, "stretch"),
    ],
)
def test_wrong_input_gives_one_clear_error(method, change, message):
    arguments = {"mixture": voice(0)[:16000], "sample_rate": RATE, **change}
    with pytest.raises(InputError, match=message):
        DENOISERS[method](**arguments)


def test_options_out_of_range_are_named():
    mixture = voice(0)[:1000]
    with pytest.raises(InputError, match="'magnitude' or 'power'"):
        classical.spectral_subtraction(mixture, RATE, domain="cepstrum")
    with pytest.raises(InputError, match="over_subtraction and floor"):
        classical.spectral_subtraction(mixture, RATE, floor=-1)
    with pytest.raises(InputError, match="over_subtraction and floor"):
        classical.spectral_subtraction(mixture, RATE, floor=math.nan)
    with pytest.raises(InputError, match="floor_db"):
        classical.wiener_filter(mixture, RATE, floor_db=math.nan)
    with pytest.raises(InputError, match="sample_rate"):
        classical.noise_profile(mixture, 0)
    with pytest.raises(InputError, match="hop_seconds"):
        classical.minimum_statistics(torch.ones(3, 3), 0.0)
    with pytest.raises(InputError, match="power: expected a torch.Tensor"):
        classical.decision_directed_snr([1.0], torch.ones(1))
    with pytest.raises(InputError, match="alpha"):
        classical.wiener_filter(mixture, RATE, alpha=1.0)
    with pytest.raises(InputError, match="expected one of identity"):
        classical.as_separator("magic", RATE)
    with pytest.raises(InputError, match="3 dimensions"):
        classical.as_separator("wiener", RATE)(mixture)
    with pytest.raises(InputError, match="powers"):
        classical.minimum_statistics(-torch.ones(3, 3), 0.01)
