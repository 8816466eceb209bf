"""Checks of chapter 2: count frames, hide a sound under the floor, invert the STFT."""

from __future__ import annotations

import torch

from lib.checks import CheckFailed, NotAttempted, close, exercise, holds
from lib.stft import STFT, amplitude_to_db


@exercise("ch02.shapes")
def shapes(answer):
    """``answer(length, n_fft, hop_length, padding)``: (bins, frames)."""
    generator = torch.Generator().manual_seed(2)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    for trial in range(20):
        n_fft = draw(2, 600)
        length, hop_length, padding = n_fft + draw(0, 3000), draw(1, n_fft), draw(0, n_fft)
        if trial == 0:
            n_fft, hop_length, padding, length = 512, 128, 0, 512 + 3 * 128
        # the truth is counted, not computed: cut the frames and look how many there are
        signal = torch.zeros(length + 2 * padding)
        spectra = torch.fft.rfft(signal.unfold(0, n_fft, hop_length))
        right = (spectra.shape[1], spectra.shape[0])
        got = answer(length, n_fft, hop_length, padding)
        if got is None or got is ...:
            raise NotAttempted
        holds(
            isinstance(got, tuple | list) and len(got) == 2,
            f"expected a pair (bins, frames), got {got!r}",
        )
        setting = f"length={length}, n_fft={n_fft}, hop_length={hop_length}, padding={padding}"
        if tuple(got) != right:
            raise CheckFailed(
                f"{setting}: expected (bins, frames) = {right}, got {tuple(got)}",
                _why(tuple(got), right, length, n_fft, hop_length, padding),
            )
    return "20 random settings"


def _why(got, right, length, n_fft, hop_length, padding) -> str:
    if got == right[::-1]:
        return "Right numbers, wrong order: (freq, frames), bins first."
    if got[0] == n_fft:
        return "The spectrum of a real signal is symmetric: half of the bins, and the one at 0 Hz."
    if got[0] != right[0]:
        return "Bins run from 0 to n_fft // 2, both included; n_fft may be odd."
    if got[1] == right[1] - 1:
        return "The first frame counts too: after it, one more for each whole hop that fits."
    if got[1] == 1 + (length + padding - n_fft) // hop_length:
        return "There are zeros on both sides."
    if got[1] == 1 + (length - n_fft) // hop_length:
        return "Do not forget the padding."
    if got[1] > right[1]:
        return "A frame that sticks out at the end does not count: round down."
    return "How far can the start of a frame move before its end leaves the padded signal?"


@exercise("ch02.floor_is_not_injective")
def floor_is_not_injective(answer):
    """``answer``: two signals (16000,) with equal dB pictures and different magnitudes."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise CheckFailed(f"expected a pair of signals, got {type(answer).__name__}")
    if any(signal is ... or signal is None for signal in answer):
        raise NotAttempted
    for signal in answer:
        holds(
            isinstance(signal, torch.Tensor) and signal.shape == (16000,),
            "expected two tensors of shape (16000,), got "
            + ", ".join(str(tuple(getattr(s, "shape", ()))) for s in answer),
        )
        holds(signal.is_floating_point(), f"expected torch.float64, got {signal.dtype}")
    stft = STFT(512, 128)
    one, two = (stft(signal.double()).abs() for signal in answer)
    holds(one.max() > 0, "the first signal is silent: it has no largest magnitude to refer to")
    pictures = [amplitude_to_db(values, one.max(), -80.0) for values in (one, two)]
    difference = (pictures[0] - pictures[1]).abs()
    apart = (one - two).abs().max() / one.max()
    if apart < 1e-12:
        raise CheckFailed(
            "the two magnitudes are equal",
            "A turned sign or another phase is no answer: here the floor should do the hiding. Add "
            "something to the second signal that is more than 80 dB below the loudest bin.",
        )
    worst = int(difference.argmax())
    if difference.max() > 1e-3:
        frame = worst % difference.shape[1]
        raise CheckFailed(
            f"the pictures differ by up to {difference.max():.3g} dB, most in frame {frame} "
            f"(around sample {128 * frame})",
            _hint(one, two),
        )
    return f"the pictures agree to {difference.max():.1g} dB, {int((one != two).sum())} bins differ"


def _hint(one: torch.Tensor, two: torch.Tensor) -> str:
    if torch.allclose(two, (two.max() / one.max()) * one, rtol=1e-6):
        return "Another level moves every bin above the floor: the reference is the same for both."
    hidden = 20 * torch.log10((one - two).abs().max() / one.max())
    if hidden > -80:
        return f"What you added reaches {hidden:.0f} dB: it has to stay under the floor of -80 dB."
    return (
        "A faint sound still moves the bins that are above the floor. Leave a pause in the first "
        "signal, longer than a frame, and put the faint sound where all bins are below the floor."
    )


@exercise("ch02.istft")
def istft(answer):
    """``answer(spectrogram, window, hop_length, length)``: the signal (length,)."""
    generator = torch.Generator().manual_seed(1)
    pairs = (
        ("hann", 256, 64, 2000),
        ("hann", 256, 128, 1999),
        ("sqrt_hann", 128, 64, 1500),
        ("blackman", 240, 97, 1700),  # breaks COLA
        ("rectangular", 128, 128, 1000),
    )
    for name, n_fft, hop_length, length in pairs:
        signal = torch.randn(length, generator=generator, dtype=torch.float64)
        stft = STFT(n_fft, hop_length, name)
        spectrogram = stft(signal)
        given = spectrogram.clone()
        got = answer(given, stft.window.clone(), hop_length, length)
        what = f"{name} window, N={n_fft}, H={hop_length}: largest error"
        if isinstance(got, torch.Tensor) and got.shape == signal.shape:
            hint = _diagnose(got.double(), signal, stft, spectrogram)
            error = (got.double() - signal).abs().max()
            close(error, 0.0, what, atol=1e-4, hint=hint)  # float32 sums will do
        else:
            close(got, signal, f"{name} window, N={n_fft}, H={hop_length}: the signal")
    _check_least_squares(answer, generator)
    return f"{len(pairs)} pairs of window and hop, and a spectrogram that belongs to no sound"


def _check_least_squares(answer, generator: torch.Generator) -> None:
    """A spectrogram that is no STFT tells the least-squares inverse from other exact ones."""
    stft = STFT(128, 48)
    noise = torch.randn(2, 65, stft.frames(700), generator=generator, dtype=torch.float64)
    spectrogram = torch.complex(*noise)
    got = answer(spectrogram.clone(), stft.window.clone(), 48, 700)
    close(
        got,
        stft.inverse(spectrogram, 700),
        "a random spectrogram, which no signal has: its nearest signal",
        atol=1e-4,
        hint="Yours inverts true STFTs, but is not the least-squares answer: apply the window once "
        "more to each frame, and divide by the sum of the squared windows.",
    )


def _diagnose(got, signal, stft: STFT, spectrogram) -> str:
    frames = torch.fft.irfft(spectrogram.T, n=stft.n_fft)
    window, n_fft, hop = stft.window, stft.n_fft, stft.hop_length
    total = (len(frames) - 1) * hop + n_fft

    def added(rows: torch.Tensor, start: int = n_fft // 2) -> torch.Tensor:
        result = torch.zeros(total + n_fft, dtype=torch.float64)
        for k, row in enumerate(rows):
            result[k * hop : k * hop + n_fft] += row
        return result[start : start + len(signal)]

    plain, weighted = added(frames), added(frames * window)
    weight = added(window.square().expand_as(frames))
    known = (
        (plain, "You add the frames, but nothing is divided by the sum of the windows."),
        (weighted, "You window the frames again; now divide by the sum of the squared windows."),
        (
            plain / weight,
            "You divide by the squared windows: then each frame needs the window once more before "
            "it is added.",
        ),
        (
            weighted / added(window.expand_as(frames)),
            "The windows have to be squared in the sum that you divide by.",
        ),
        (
            added(frames * window, 0) / added(window.square().expand_as(frames), 0),
            "Frame 0 is centred on sample 0: its first half lies before the signal. Cut off the "
            "first n_fft // 2 samples.",
        ),
    )
    for wrong, hint in known:
        near = torch.isfinite(wrong) & (weight > 1e-6)
        if near.any() and torch.allclose(got[near], wrong[near], atol=1e-9):
            return hint
    return "Add up two things, sample by sample: windowed frames, and squared windows. Then divide."
