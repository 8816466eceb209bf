"""Streams: the estimates of the whole recording, sample by sample, from chunks of any size."""

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_models import SYSTEMS, build, frame, noise

from lib.errors import InputError
from lib.filterbanks import FreeFilterbank
from lib.models import UPIT, ConvTasNet, DeepRNN, EncoderMaskerDecoder, OpenUnmix
from lib.nn.norms import GlobalLayerNorm
from lib.nn.recurrent import read
from lib.separate import Streamer
from lib.stft import STFT


def is_causal(name):
    with torch.device("meta"):
        model = SYSTEMS[name].build()
    return hasattr(model, "advance") and model.is_causal


CAUSAL = [name for name in SYSTEMS if is_causal(name)]
every_causal_system = pytest.mark.parametrize("name", CAUSAL)


def cut(mixture, sizes):
    """Cut a mixture into chunks, whose sizes come again and again."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= mixture.shape[-1]:
            return
        yield mixture[..., start : start + size]
        start += size


def stream(streamer, mixture, sizes):
    pieces = [streamer.push(chunk) for chunk in cut(mixture, sizes)]
    return torch.cat([*pieces, streamer.flush()], -1)


def whole(model, mixture):
    with torch.no_grad():
        return model(mixture[None])[0]


def test_there_are_systems_of_all_kinds():
    kinds = {type(build(name)).__name__ for name in CAUSAL}
    assert {"ConvTasNet", "DeepRNN", "Denoiser", "OpenUnmix", "UPIT"} <= kinds


@every_causal_system
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_chunks_of_any_size_give_the_estimates_of_the_whole(name, dtype, tolerance):
    model = build(name).to(dtype)
    streamer = Streamer(model)

    @settings(max_examples=8)
    @given(st.integers(1, 2500), st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    @example(400, [1])
    @example(1, [1])
    @example(997, [5000])
    @example(2500, [160])
    def check(time, sizes):
        mixture = noise(1, time, seed=time, dtype=dtype)
        estimates, expected = stream(streamer, mixture, sizes), whole(model, mixture)
        assert estimates.shape == (model.sources, 1, time)
        assert estimates.dtype == dtype
        torch.testing.assert_close(estimates, expected, atol=tolerance, rtol=0)

    check()


@every_causal_system
def test_estimates_come_out_as_soon_as_the_lookahead_is_there(name):
    """And no sooner: what is behind them cannot have been heard. Every phase of the stride."""
    model = build(name)
    streamer = Streamer(model)
    assert streamer.lookahead == model.lookahead
    assert streamer.latency_ms == 1000 * model.lookahead / model.sample_rate
    returned = latest = 0
    for received in range(1, 2 * model.lookahead + 4 * frame(model)[0]):
        returned += streamer.push(noise(1, 1)).shape[-1]
        latest = max(latest, received - returned)
    assert latest == model.lookahead


@every_causal_system
def test_what_is_kept_does_not_grow(name):
    model = build(name)
    streamer, kept = Streamer(model), []
    size = 7 * frame(model)[1] // 2  # meets the same two phases of the stride again and again
    warm_up = 2 * model.lookahead // size + 2
    for chunk in cut(noise(1, size * (warm_up + 120)), [size]):
        streamer.push(chunk)
        kept.append(sum(t.untyped_storage().nbytes() for t in tensors(streamer._memory.values())))
    early, late = kept[warm_up : warm_up + 60], kept[warm_up + 60 :]
    assert 0 < max(late) <= max(early)


def tensors(value):
    """All tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        yield value
    elif not isinstance(value, (int, float, bool)):
        for item in value:
            yield from tensors(item)


def test_a_long_chunk_is_not_kept():
    streamer = Streamer(ConvTasNet.tiny(causal=True))
    sizes = []
    for time in (400, 40_000):
        streamer.push(noise(1, time))
        kept = {t.untyped_storage() for t in tensors(streamer._memory.values())}
        sizes.append(sum(storage.nbytes() for storage in kept))
    assert sizes[0] == sizes[1]


def test_no_gradients_no_dropout_and_the_mode_is_kept():
    model = UPIT(hop_length=64, layers=2, hidden=8, causal=True, dropout=0.5).train()
    mixture = noise(1, 2000)
    estimates = stream(Streamer(model), mixture, [300])
    assert model.training
    assert not estimates.requires_grad
    torch.testing.assert_close(estimates, whole(model.eval(), mixture))


@pytest.mark.parametrize("build_system", [DeepRNN.tiny, lambda: UPIT(hidden=8, causal=True)])
def test_channels_share_a_mask(build_system):
    model, mixture = build_system().eval(), noise(2, 3000)
    estimates = stream(Streamer(model, channels=2), mixture, [700, 13])
    torch.testing.assert_close(estimates, whole(model, mixture), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "chunk, message",
    [
        (torch.full((1, 10), torch.nan), "chunk: expected finite samples"),
        (torch.zeros(2, 10), r"chunk: expected 1 channels .*, got shape \(2, 10\)"),
        (torch.zeros(10), "chunk: expected 2 dimensions"),
        (torch.zeros(1, 0), "chunk: expected at least one sample"),
        (torch.zeros(1, 10, dtype=torch.float64), r"chunk: expected torch.float32 .*\.to\("),
        (torch.zeros(1, 10, dtype=torch.float16), "got torch.float16"),
        (torch.zeros(1, 10, dtype=torch.int16), "floating-point"),
        ([0.0], "torch.Tensor"),
    ],
)
def test_a_bad_chunk_is_refused_and_the_stream_goes_on(chunk, message):
    model, mixture = ConvTasNet.tiny(causal=True).eval(), noise(1, 1000)
    streamer = Streamer(model)
    first = streamer.push(mixture[:, :333])
    with pytest.raises(InputError, match=message):
        streamer.push(chunk)
    rest = [streamer.push(mixture[:, 333:]), streamer.flush()]
    estimates = torch.cat([first, *rest], -1)
    torch.testing.assert_close(estimates, whole(model, mixture), atol=1e-5, rtol=0)


@every_causal_system
def test_an_interruption_on_the_way_leaves_the_stream_as_it_was(name, monkeypatch):
    """After all blocks but the decoder have noted what they heard."""
    model, mixture = build(name), noise(1, 3 * build(name).lookahead + 500)
    streamer, middle = Streamer(model), mixture.shape[-1] // 2
    pieces = [streamer.push(mixture[:, :middle])]
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            streamer.push(mixture[:, middle:])
    pieces += [streamer.push(mixture[:, middle:]), streamer.flush()]
    torch.testing.assert_close(torch.cat(pieces, -1), whole(model, mixture), atol=1e-5, rtol=0)


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_estimates_are_where_the_chunks_are():
    model, mixture = ConvTasNet.tiny(causal=True).cuda(), noise(1, 1000)
    streamer = Streamer(model)
    assert streamer.push(mixture).device == streamer.flush().device == mixture.device
    assert streamer.push(mixture.cuda()).is_cuda
    assert streamer.flush().is_cuda


def test_flush_and_reset_begin_another_stream():
    model, mixture = ConvTasNet.tiny(causal=True).eval(), noise(1, 500)
    streamer, expected = Streamer(model), whole(model, mixture)
    assert streamer.flush().shape == (2, 1, 0)  # of nothing
    for _ in range(2):
        torch.testing.assert_close(stream(streamer, mixture, [90]), expected, atol=1e-5, rtol=0)
    streamer.push(noise(1, 77, seed=1))
    streamer.reset()
    torch.testing.assert_close(stream(streamer, mixture, [90]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "model, got",
    [
        (ConvTasNet.tiny, "ConvTasNet"),
        (OpenUnmix.tiny, "OpenUnmix"),
        (lambda: lambda mixture: mixture[:, None], "function"),
    ],
)
def test_a_model_that_is_not_causal_is_refused(model, got):
    with pytest.raises(InputError, match=f"expected a causal .* got {got}; .*in blocks"):
        Streamer(model())


def test_channels_that_a_model_does_not_take_are_refused():
    with pytest.raises(InputError, match="channels: expected 1, got 2; .*a Streamer of its own"):
        Streamer(ConvTasNet.tiny(causal=True), channels=2)
    with pytest.raises(InputError, match="channels: expected at least 1, got 0"):
        Streamer(DeepRNN.tiny(), channels=0)


def test_blocks_that_need_the_whole_input_say_so():
    with pytest.raises(InputError, match="expected causal norms, got GlobalLayerNorm"):
        GlobalLayerNorm(3)(torch.zeros(1, 3, 5), {})
    with pytest.raises(InputError, match="read forwards, got a bidirectional LSTM"):
        read(torch.nn.LSTM(3, 4, bidirectional=True), torch.zeros(5, 1, 3), {})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_few_frames_of_an_lstm_are_computed_alike(bias, layers):
    """One by one, without PyTorch's rearrangement of the weights; longer pieces as ever."""
    lstm = torch.nn.LSTM(5, 7, layers, bias, batch_first=True).double().eval()
    x, memory = noise(3, 40, 5, dtype=torch.float64), {}
    pieces = [read(lstm, piece, memory) for piece in x.split([1, 8, 9, 3, 19], 1)]
    expected, state = lstm(x)
    torch.testing.assert_close(torch.cat(pieces, 1), expected)
    torch.testing.assert_close(memory[lstm], state)


# transforms alone, at all hops


class Transform(EncoderMaskerDecoder):
    """A transform and its inverse, as a system whose masks are ones."""

    source_names = ("all",)
    sample_rate = 8000

    def __init__(self, bank=None, lookahead: int = 0):
        super().__init__()
        self.encoder, self.lookahead = bank, lookahead
        self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def masker(self, features, memory=None):
        return (features.abs() > -1).to(self.scale)[:, None]

    def decode(self, features, length, memory=None):
        waveform = self.encoder.inverse(features, length, memory)
        return waveform if waveform.ndim == 4 else waveform[:, :, None]


@pytest.mark.parametrize(
    "bank, lookahead",
    [
        *((FreeFilterbank(6, 16, stride).double(), 15) for stride in (1, 3, 8, 11, 16)),
        (FreeFilterbank(6, 1).double(), 0),
        # the first sample of a Hann window is zero, and no frame is waited for because of it
        *((STFT(16, hop), 14) for hop in (1, 3, 4, 8, 11)),
        *((STFT(16, hop, "rectangular"), 15) for hop in (5, 16)),
        *((STFT(15, hop, "sqrt_hann"), 13) for hop in (4, 7)),
        (STFT(16, 4, torch.ones(10)), 12),
        (STFT(16, 3, win_length=10), 8),
        (STFT(2, 1), 0),
    ],
)
@settings(max_examples=15)
@given(time=st.integers(1, 120), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_transforms_stream_at_every_hop(bank, lookahead, time, sizes):
    model = Transform(bank, lookahead)
    mixture = noise(1, time, seed=time, dtype=torch.float64)
    estimates = stream(Streamer(model), mixture, sizes)
    torch.testing.assert_close(estimates, whole(model, mixture), atol=1e-12, rtol=0)
    streamer, returned = Streamer(model), 0
    for received in range(1, 80):
        returned += streamer.push(mixture[:, :1]).shape[-1]
        assert received - returned <= lookahead
