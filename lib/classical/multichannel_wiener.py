"""The multichannel Wiener filter: what the channels of a mixture say about its sources.

N. Q. K. Duong, E. Vincent and R. Gribonval, "Under-determined reverberant audio source separation
using a full-rank spatial covariance model", IEEE TASLP 18(7), 2010; with spectrograms estimated
beforehand: A. A. Nugraha, A. Liutkus and E. Vincent, "Multichannel audio source separation with
deep neural networks", IEEE/ACM TASLP 24(9), 2016.

Source j has a power v_j(f, t) and a spatial covariance R_j(f), the same in all frames. Both come
from first estimates of the sources; the Wiener filter W_j = v_j R_j (sum_i v_i R_i)^-1 then takes
the source from the mixture. Repeating the two steps is an EM algorithm.
"""

from __future__ import annotations

import torch

from lib.errors import InputError

# what is added to powers and covariances; the published values of Open-Unmix
_EPSILON = 1e-10


def multichannel_wiener_filter(
    estimates: torch.Tensor, mixture: torch.Tensor, iterations: int = 1
) -> torch.Tensor:
    """Refine estimates of sources by an EM algorithm over all channels of their mixture.

    The spatial covariances are those of the whole excerpt. On a long piece, cut into excerpts,
    every excerpt gets its own, so borders between excerpts can be heard.

    Args:
        estimates: complex spectrograms ``(..., sources, channels, freq, frames)``, such as masked
            mixtures. At least two sources: with one, everything belongs to it.
        mixture: complex spectrogram ``(..., channels, freq, frames)``.
        iterations: of the EM algorithm; 0 returns the estimates.

    Returns:
        Complex ``(..., sources, channels, freq, frames)``; the sources add up to the mixture, up to
        regularisation.

    Raises:
        InputError: for a single source, other shapes, or a negative number of iterations.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> sources = torch.randn(2, 2, 5, 40, dtype=torch.complex64, generator=draw)
        >>> sources[:, 1] = torch.tensor([0.2, -0.5])[:, None, None] * sources[:, 0]  # two places
        >>> mixture = sources.sum(0)
        >>> halves = mixture.expand(2, -1, -1, -1) * torch.tensor([0.6, 0.4])[:, None, None, None]
        >>> refined = multichannel_wiener_filter(halves, mixture)
        >>> refined.shape, torch.allclose(refined.sum(0), mixture, atol=1e-3)
        (torch.Size([2, 2, 5, 40]), True)
    """
    if estimates.ndim != mixture.ndim + 1 or estimates[..., 0, :, :, :].shape != mixture.shape:
        raise InputError(
            "estimates and mixture: expected (..., sources, channels, freq, frames) and "
            f"(..., channels, freq, frames), got {tuple(estimates.shape)} and "
            f"{tuple(mixture.shape)}"
        )
    if estimates.shape[-4] < 2:
        raise InputError("estimates: expected at least 2 sources, got 1; add the residual")
    if iterations < 0:
        raise InputError(f"iterations: expected 0 or more, got {iterations}")
    if iterations == 0:
        return estimates
    # the regularisation is absolute: keep the loudest point at most 10
    level = (mixture.abs().amax((-3, -2, -1), keepdim=True) / 10).clamp_min(1)  # (..., 1, 1, 1)
    x = (mixture / level).movedim(-3, -1)  # (..., F, K, C)
    y = (estimates / level[..., None, :, :, :]).movedim(-3, -1)  # (..., S, F, K, C)
    noise = _EPSILON**0.5 * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    for _ in range(iterations):
        power = y.abs().square().mean(-1)  # (..., S, F, K)
        spread = torch.einsum("...kc,...kd->...cd", y, y.conj())  # (..., S, F, C, C)
        spatial = spread / (power.sum(-1) + _EPSILON)[..., None, None]
        covariance = power[..., None, None] * spatial[..., None, :, :]  # (..., S, F, K, C, C)
        whole = covariance.sum(-5) + noise  # (..., F, K, C, C)
        whitened = torch.linalg.solve(whole, x[..., None])  # (..., F, K, C, 1)
        y = (covariance @ whitened[..., None, :, :, :, :])[..., 0]  # (..., S, F, K, C)
    return y.movedim(-1, -3) * level[..., None, :, :, :]
