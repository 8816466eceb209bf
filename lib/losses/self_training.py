"""What the Band-Split RNN minimises: with known sources, and with those that a teacher guesses."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import nn

from lib.errors import InputError
from lib.losses.precision import at_least_float32

# energy below which a signal is silent, so that differences of levels are defined
_SILENCE = 1e-12


@dataclasses.dataclass
class ComplexL1:
    """Compare spectrograms and waveforms: real parts, imaginary parts and samples, each by L1.

    The spectrograms are the model's own, before they become waveforms, which need not be spectra of
    any waveform. Each of the three terms is a mean.

    Source: Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31,
    2023, eq. 1.

    Example:
        >>> from lib.models import BandSplitRNN
        >>> mixture = torch.randn(3, 1, 800)
        >>> sources = torch.stack([mixture / 2] * 2, 1)
        >>> ComplexL1()(BandSplitRNN.tiny(), mixture, sources).shape
        torch.Size([3])
    """

    def __call__(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        if not hasattr(model, "spectra"):
            raise InputError(
                f"objective: {type(model).__name__} has no spectra(), which this objective "
                "compares; take another, such as waveform"
            )
        spectra = model.spectra(model.encoder(mixture))  # (B, S, C, F, K)
        if spectra.shape[:3] != sources.shape[:3]:
            raise InputError(
                f"sources: expected {spectra.shape[1]} as the model's estimates, "
                f"got {tuple(sources.shape)}"
            )
        error = torch.view_as_real(spectra - model.encoder(sources))  # (..., F, K, 2)
        waveforms = at_least_float32(model.decode(spectra, mixture.shape[-1]))
        spectral = error.abs().mean((-3, -2)).sum(-1)  # (B, S, C)
        return (spectral + (waveforms - sources).abs().mean(-1)).flatten(1).mean(1)


@dataclasses.dataclass(eq=False)
class SelfTraining(nn.Module):
    """Learn from mixtures of which nobody has the sources, with a teacher that guesses them.

    Items with sources that are NaN are such mixtures (``unlabelled`` of :class:`lib.data.Songs`).
    The teacher separates them into target and residual:

    - If it finds the target more than ``activity_db`` below the mixture, the mixture is a clean
      residual.
    - If it finds the residual so far below, the mixture is a clean target.
    - Else its guesses are labels.

    All targets of a batch, known and guessed, are one pool, and all residuals another. Each new
    mixture is one of the first and one of the second, at random, and :class:`ComplexL1` compares
    what the model makes of it. Batches in which all sources are known are compared as they are.

    The teacher is the model as it was when training began. Whenever a validation score is better
    than the teacher's, the model takes its place.

    Args:
        activity_db: how far below the mixture a source counts as silent.

    Source: Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31,
    2023, section III-A.

    Example:
        >>> from lib.models import BandSplitRNN
        >>> objective, model = SelfTraining(), BandSplitRNN.tiny()
        >>> objective.start(model)
        >>> mixture = torch.randn(3, 1, 800)
        >>> objective(model, mixture, torch.full((3, 2, 1, 800), torch.nan)).shape
        torch.Size([3])
    """

    activity_db: float = 30.0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__init__()
        if not self.activity_db > 0:
            raise InputError(f"activity_db: expected a number above 0, got {self.activity_db}")
        self.compare = ComplexL1()
        self.teacher: nn.Module | None = None
        self.register_buffer("score", torch.tensor(-torch.inf))  # the teacher's

    def start(self, model: nn.Module) -> None:
        """Make a copy of the model the teacher."""
        self.teacher = copy.deepcopy(model).eval().requires_grad_(False)

    def validated(self, model: nn.Module, score: float) -> None:
        """Replace the teacher by a model whose validation score is better; higher is better."""
        if score > self.score:
            self.teacher.load_state_dict(model.state_dict())
            self.score.fill_(score)

    def train(self, mode: bool = True) -> SelfTraining:
        """Leave the teacher as it is: it does not train."""
        return self

    def forward(
        self, model: nn.Module, mixture: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss ``(batch,)`` of mixture (B, C, T) and sources (B, S, C, T)."""
        known = sources.isfinite().flatten(1).all(1)  # (B,)
        if known.all():
            return self.compare(model, mixture, sources)
        if sources.shape[1] != 2:
            raise InputError(
                f"sources: expected two, target and residual, got {sources.shape[1]}; name a "
                "residual of the system"
            )
        if self.teacher is None:
            raise InputError("objective: expected a teacher, got none; call start(model) before")
        pools = self.pools(mixture[~known])
        remixed = torch.stack(
            [
                _draw(torch.cat([sources[known, place], pool]), len(mixture))
                for place, pool in enumerate(pools)
            ],
            1,
        )  # (B, 2, C, T)
        return self.compare(model, remixed.sum(1), remixed)

    @torch.no_grad()
    def pools(self, mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Find targets (N, C, T) and residuals (M, C, T) in unknown mixtures (B, C, T)."""
        target = at_least_float32(self.teacher(mixture)[:, 0])  # (B, C, T)
        residual = mixture - target
        without_target, without_residual = (
            (_level_db(mixture) - _level_db(one) > self.activity_db)[:, None, None]
            for one in (target, residual)
        )
        targets = torch.where(without_residual, mixture, target)
        residuals = torch.where(without_target, mixture, residual)
        return targets[~without_target[:, 0, 0]], residuals[~without_residual[:, 0, 0]]


def _level_db(signals: torch.Tensor) -> torch.Tensor:
    """Energy of (B, C, T) in dB, (B,)."""
    return 10 * (signals.double().square().flatten(1).sum(1) + _SILENCE).log10()


def _draw(pool: torch.Tensor, count: int) -> torch.Tensor:
    """So many of a pool (N, C, T) at random; silence from an empty one."""
    if not len(pool):
        return pool.new_zeros(count, *pool.shape[1:])
    return pool[torch.randint(len(pool), (count,), device=pool.device)]
