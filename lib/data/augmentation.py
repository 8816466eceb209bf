"""What may be changed about the sources of an item; everything is off unless asked for.

Each option draws from a stream of its own, so that switching it on changes neither which clips an
item takes nor what another option does.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly

from lib.data.catalogue import choose, clips, load
from lib.data.items import check_range
from lib.data.signals import noise_kinds, room, stretch
from lib.data.voice import RANGES, VoiceChanges
from lib.errors import InputError
from lib.mixing import convolutive_mix, level_db

DIRECT_SECONDS = 0.0025  # after the strongest tap: what reaches a microphone first
QUIETEST_DB = -80.0  # a silent excerpt is not brought to a level


def change_speed(waveform: torch.Tensor, speed: float) -> torch.Tensor:
    """Play a waveform faster or slower; pitch and formants go with it.

    Args:
        waveform: ``(..., time)``.
        speed: 1.05 is 5 % faster; rounded to hundredths.

    Returns:
        ``(..., about time / speed)``.

    Source: Ko, Peddinti, Povey, Khudanpur 2015, Audio augmentation for speech recognition.

    Example:
        >>> change_speed(torch.zeros(1, 1050), 1.05).shape
        torch.Size([1, 1000])
    """
    # every length is new here: torchaudio would prepare a convolution for each, eight times as slow
    changed = resample_poly(waveform.numpy(), 100, round(100 * speed), axis=-1)
    return torch.from_numpy(changed)


def equalise(waveform: torch.Tensor, gains_db: torch.Tensor) -> torch.Tensor:
    """Colour a waveform: gains at equally spaced frequencies, interpolated in dB, phase kept.

    Args:
        waveform: ``(..., time)``.
        gains_db: ``(points,)``, from 0 Hz to half the sample rate.

    Returns:
        The same shape.

    Example:
        >>> equalise(torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([0.0, 20.0]))
        tensor([ 10., -10.,  10., -10.])
    """
    time = waveform.shape[-1]
    # an FFT of a length with large prime factors would take five times as long
    spectrum = torch.fft.rfft(waveform, max(2, 1 << (time - 1).bit_length()))
    bins = torch.linspace(0, 1, spectrum.shape[-1]).numpy()
    points = torch.linspace(0, 1, len(gains_db)).numpy()
    curve = torch.from_numpy(np.interp(bins, points, gains_db.numpy())).to(waveform.dtype)
    return torch.fft.irfft(spectrum * 10 ** (curve / 20))[..., :time]


def direct_part(responses: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """The direct sound of impulse responses: all up to 2.5 ms after their strongest tap.

    Args:
        responses: ``(..., taps)``.
        sample_rate: Hz.

    Returns:
        The same shape, zero after that.

    Example:
        >>> direct_part(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.5]), 800)
        tensor([0., 1., 0., 0., 0.])
    """
    last = responses.abs().argmax(-1, keepdim=True) + round(DIRECT_SECONDS * sample_rate)
    return responses * (torch.arange(responses.shape[-1]) <= last)


def level(waveform: torch.Tensor) -> torch.Tensor:
    """Mean power in dB, at least -80: silence has a level, too, so gains stay finite.

    Args:
        waveform: ``(..., time)``.

    Returns:
        ``(...)`` dB.

    Example:
        >>> level(torch.zeros(1, 10))
        tensor([-80.])
    """
    return level_db(waveform).clamp_min(QUIETEST_DB)


class Noises:
    """The noise clips of a split of the pack, by kind.

    Args:
        split: ``train``, ``val`` or ``test``.
        kinds: which; all if None.

    Raises:
        InputError: for an unknown kind, or none.

    Example:
        >>> Noises("test", ["rain"]).by_kind
        {'rain': ['rain_test']}
    """

    def __init__(self, split: str, kinds: list[str] | None = None):
        if kinds is not None and not isinstance(kinds, (list, tuple)):
            what = "the string " if isinstance(kinds, str) else ""
            raise InputError(f"kinds: expected a list, got {what}{kinds!r}; write [{kinds!r}]")
        known = noise_kinds()
        self.kinds = known if kinds is None else [choose(kind, known, "kinds") for kind in kinds]
        if not self.kinds:
            raise InputError("kinds: expected at least one kind of noise, got an empty list")
        table = clips("noise", split)
        self.by_kind = {k: table[table["noise"] == k]["clip"].tolist() for k in self.kinds}
        self.stationary = set(noise_kinds(stationary=True))
        self.seconds = float(table["duration_s"].min())

    def require(self, seconds: float | None) -> None:
        """Require that every clip is so long; None asks for nothing.

        Args:
            seconds: of an item.

        Raises:
            InputError: if the shortest is shorter.
        """
        if seconds is not None and seconds > self.seconds:
            raise InputError(
                f"seconds: expected at most the noise's {self.seconds} s, got {seconds}"
            )

    def draw(
        self, draw: np.random.Generator, length: int, sample_rate: int
    ) -> tuple[torch.Tensor, str]:
        """A stretch of a random kind ``(1, length)``, repeated if it is too short; and the kind."""
        kind = self.kinds[int(draw.integers(len(self.kinds)))]
        names = self.by_kind[kind]
        clip, position = names[int(draw.integers(len(names)))], float(draw.random())
        waveform, _ = load(clip, sample_rate)
        waveform = waveform.repeat(1, -(-length // waveform.shape[-1]))
        return stretch(waveform, length, position, f"noise {kind}"), kind


class Augmentation:
    """The options that the data sets of speech share. All are off by default.

    Args:
        split: whose rooms and noises to take.
        sample_rate: Hz.
        speed_range: each utterance is played at a speed drawn from (low, high), say 0.95 to 1.05.
        equaliser_db: each utterance is coloured by a random smooth equaliser: six gains drawn from
            a normal distribution of this standard deviation.
        pitch_semitones: the pitch of each utterance rises by semitones drawn from (low, high), say
            -2 to 2.
        stretch_range: each utterance lasts so many times as long, drawn from (low, high), at its
            pitch.
        envelope_range: the formants of each utterance move up by a factor drawn from (low, high),
            at its pitch.
        max_offset: seconds; each speaker starts up to so much later than the first to speak, but
            at most half of the item (or of the shorter utterance) later. Speakers then overlap
            partially.
        reverb: the utterances sound in a room of the pack, at its first microphone. It says what
            ``sources`` are: ``"reverberant"``, as heard there; or ``"dry"``, their direct sound
            alone, delayed and scaled as heard there. Two speakers at most.
        noise_snr_db: noise is added to the mixture, the louder speaker so many dB above it; one
            number or (low, high). It is no source, so it is what the sources leave of the mixture.
        noise_kinds: kinds of this noise; all if None.
        gain_range_db: one gain for the whole item; a peak above 0.9 still lowers it.

    Raises:
        InputError: for an unknown option or an impossible value.

    Source: offsets, rooms and noise as in WHAMR! (Maciejewski et al. 2020) and WHAM! (Wichern et
    al. 2019), where the level of the noise is relative to the louder speaker, too.

    Example:
        >>> Augmentation("train", 8000, speed_range=(0.95, 1.05)).speed_range
        (0.95, 1.05)
    """

    OPTIONS = (
        "speed_range",
        "equaliser_db",
        *RANGES,
        "max_offset",
        "reverb",
        "noise_snr_db",
        "noise_kinds",
        "gain_range_db",
    )
    # numbers of the streams of draws
    SPEED, OFFSET, ROOM, NOISE, GAIN, EQUALISER = range(1, 7)

    def __init__(self, split: str, sample_rate: int, **options: Any):
        for name in options:
            choose(name, self.OPTIONS, "option")
        self.split, self.sample_rate = split, sample_rate
        speed_range = options.get("speed_range")
        self.speed_range = None
        if speed_range is not None:
            self.speed_range = check_range(speed_range, "speed_range", "times")
            if not 0.5 <= self.speed_range[0] <= self.speed_range[1] <= 2.0:
                raise InputError(f"speed_range: expected speeds from 0.5 to 2, got {speed_range}")
        self.equaliser_db = options.get("equaliser_db", 0.0)
        if not (isinstance(self.equaliser_db, numbers.Real) and 0 <= self.equaliser_db <= 20):
            raise InputError(f"equaliser_db: expected 0 to 20 dB, got {self.equaliser_db!r}")
        self.changes = VoiceChanges(sample_rate, **options)
        fastest = self.speed_range[1] if self.speed_range else 1.0
        self.shortens = fastest / self.changes.shortest  # by so much, at most
        self.max_offset = options.get("max_offset", 0.0)
        if not (isinstance(self.max_offset, numbers.Real) and 0 <= self.max_offset < np.inf):
            raise InputError(f"max_offset: expected seconds, 0 or more, got {self.max_offset!r}")
        self.reverb = options.get("reverb")
        if self.reverb is not None:
            choose(self.reverb, ("reverberant", "dry"), "reverb")
            self._rooms = len(clips("room", split))
        noise_snr_db, kinds = options.get("noise_snr_db"), options.get("noise_kinds")
        self.noise_snr_db = self.noises = None
        if noise_snr_db is not None:
            self.noise_snr_db = check_range(noise_snr_db, "noise_snr_db")
            self.noises = Noises(split, kinds)
        elif kinds is not None:
            raise InputError("noise_kinds: expected noise_snr_db beside it, got None")
        self.gain_range_db = check_range(options.get("gain_range_db", 0.0), "gain_range_db")

    def voices(
        self, utterances: list[torch.Tensor], draw, meta: dict[str, Any]
    ) -> list[torch.Tensor]:
        """Speed, duration, pitch, formants, colour and room.

        Args:
            utterances: each ``(1, time)``.
            draw: from the number of a stream to its generator.
            meta: gets ``speeds``, ``changes`` and ``room``.

        Returns:
            each ``(1, time)``; or ``(2, time)``, what is heard and its dry part.
        """
        if self.speed_range is not None:
            speeds = draw(self.SPEED).uniform(*self.speed_range, len(utterances))
            meta["speeds"] = [round(float(speed), 2) for speed in speeds]
            pairs = zip(utterances, meta["speeds"], strict=True)
            utterances = [change_speed(*pair) for pair in pairs]
        if self.changes.ranges:
            meta["changes"] = self.changes.draw(draw, len(utterances))
            pairs = zip(utterances, meta["changes"], strict=True)
            utterances = [self.changes.apply(*pair) for pair in pairs]
        if self.equaliser_db:
            gains = draw(self.EQUALISER).normal(0, self.equaliser_db, (len(utterances), 6))
            pairs = zip(utterances, torch.from_numpy(gains), strict=True)
            utterances = [equalise(*pair) for pair in pairs]
        if self.reverb is None:
            return utterances
        meta["room"] = int(draw(self.ROOM).integers(self._rooms))
        responses = room(meta["room"], self.split, self.sample_rate)[:, 0]  # (sources, taps)
        responses = responses / responses.abs().amax()
        heard = []
        for utterance, response in zip(utterances, responses, strict=False):
            versions = [response]
            if self.reverb == "dry":
                versions.append(direct_part(response, self.sample_rate))
            padded = torch.nn.functional.pad(utterance, (0, response.shape[-1] - 1))
            # the versions stand where the microphones do
            image = convolutive_mix(padded, torch.stack(versions)[None]).images[0]
            heard.append(image.to(utterance.dtype))
        return heard

    def offsets(self, count: int, longest: int, draw, meta: dict[str, Any]) -> list[int]:
        """Samples that each of ``count`` speakers waits, at most ``longest``; the first none.

        Args:
            count: of speakers.
            longest: samples.
            draw: from the number of a stream to its generator.
            meta: gets ``offsets`` in seconds.
        """
        if not self.max_offset:
            return [0] * count
        limit = min(self.max_offset * self.sample_rate, longest)
        drawn = draw(self.OFFSET).uniform(0, limit, count)
        offsets = [int(value) for value in drawn - drawn.min()]
        meta["offsets"] = [offset / self.sample_rate for offset in offsets]
        return offsets

    def noise(self, levels_db: list[float], length: int, draw, meta: dict[str, Any]):
        """The noise ``(1, length)`` at its level, or None; ``meta`` gets its kind and SNR.

        Args:
            levels_db: of the speakers.
            length: samples.
            draw: from the number of a stream to its generator.
            meta: gets ``noise`` and ``noise_snr_db``.
        """
        if self.noise_snr_db is None:
            return None
        own = draw(self.NOISE)
        snr_db = float(own.uniform(*self.noise_snr_db))
        waveform, kind = self.noises.draw(own, length, self.sample_rate)
        meta |= {"noise": kind, "noise_snr_db": snr_db}
        return waveform * 10 ** ((max(levels_db) - float(level(waveform)) - snr_db) / 20)

    def gain(self, draw) -> float:
        """The gain of the whole item, linear.

        Args:
            draw: from the number of a stream to its generator.
        """
        if self.gain_range_db == (0.0, 0.0):
            return 1.0
        return 10 ** (float(draw(self.GAIN).uniform(*self.gain_range_db)) / 20)
