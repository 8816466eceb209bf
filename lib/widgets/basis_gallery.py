"""The basis gallery: signals of a learned transform, to see and to hear, and their masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lib.errors import InputError
from lib.filterbanks import by_frequency, centre_frequencies
from lib.models.base import TimeDomainSeparator
from lib.widgets.element import Element, as_mono, encode_array

_MOST_VALUES = 2_000_000  # bytes of features and masks: what a page can carry


def basis_gallery(
    model: TimeDomainSeparator,
    mixture: torch.Tensor | np.ndarray,
    title: str = "Basis gallery",
    *,
    names: Sequence[str] | None = None,
) -> Element:
    """A panel that shows the basis signals of a separator, and what its masks make of them.

    A filter of the encoder and the decoder's basis signal of the same number are a pair. All pairs
    hang in one gallery, sorted by the centre frequency of the basis signal. The chosen one is drawn
    large, with its frequency response, and can be heard: repeated in step with its centre
    frequency, so that its pitch tells where it lies. For the given mixture, a picture holds the
    features or the mask of each speaker, filter by filter, and a curve the masks of the chosen
    filter. The reader hears what this filter alone, or all filters up to it, give to the mixture
    and to each speaker. The page computes all sounds itself.

    Args:
        model: a separator with a bank of filters, such as ConvTasNet or TasNet.
        mixture: of about two seconds, ``(time,)`` or ``(1, time)``, at the model's sample rate.
        title: heading of the panel.
        names: of the model's outputs, in their order; "output 1" and so on, if not given.

    Returns:
        An HTML output.

    Raises:
        InputError: for a model without a bank of filters, a mixture that is no mono signal, is
            silent or too long, or names that do not fit.

    Example:
        >>> from lib.models import ConvTasNet
        >>> basis_gallery(ConvTasNet.tiny(), torch.randn(8000))
        Basis gallery: 128 filters of 4 ms, output 1, output 2. Run this cell to see and hear them.
    """
    if not isinstance(model, TimeDomainSeparator):
        raise InputError(
            "model: expected a separator with a bank of filters (TimeDomainSeparator), got "
            f"{type(model).__name__}"
        )
    count = model.sources
    names = [f"output {number + 1}" for number in range(count)] if names is None else list(names)
    if len(names) != count:
        raise InputError(f"names: expected {count}, one for each output, got {len(names)}")
    bank, rate = model.encoder, model.sample_rate
    samples = torch.from_numpy(as_mono(mixture, "mixture")).to(bank.analysis().dtype)
    length = samples.shape[-1]
    if bank.filters * bank.frames(length) * (count + 1) > _MOST_VALUES:
        longest = _MOST_VALUES // (bank.filters * (count + 1)) * bank.stride / rate
        raise InputError(
            f"mixture: expected at most {longest:.1f} s for {bank.filters} filters, "
            f"got {length / rate:.1f} s; cut an excerpt"
        )
    training = model.training
    model.eval()
    with torch.no_grad():
        features = bank(samples[None])  # (1, N, K)
        masks = model.masker(features)[0]  # (S, N, K)
    model.train(training)
    analysis, synthesis = bank.analysis().detach(), bank.synthesis().detach()
    order = by_frequency(synthesis)
    features = features[0, order]
    # one byte for each: by the filter's own peak, and as roots, so that faint values stay precise
    peaks = features.abs().amax(1, keepdim=True).clamp_min(1e-12)
    config = {
        "title": title,
        "names": [str(name) for name in names],
        "sample_rate": int(rate),
        "stride": bank.stride,
        "before": bank.padding(length)[0],
        "length": length,
        "numbers": order.tolist(),
        "frequencies": [
            round(hertz, 1) for hertz in centre_frequencies(synthesis, rate)[order].tolist()
        ],
        "encoder": encode_array(analysis[order, 0]),
        "decoder": encode_array(synthesis[order, 0]),
        "features": encode_array(_root(features / peaks), "int8"),
        "peaks": encode_array(peaks[:, 0]),
        "masks": encode_array(_root(masks[:, order]), "uint8"),
    }
    milliseconds = 1000 * bank.kernel_size / rate
    fallback = (
        f"{title}: {bank.filters} filters of {milliseconds:g} ms, {', '.join(config['names'])}. "
        "Run this cell to see and hear them."
    )
    return Element("unmix-basis-gallery", config, ("basis_gallery",), fallback)


def _root(values: torch.Tensor) -> torch.Tensor:
    """Square roots that keep the sign."""
    return values.sign() * values.abs().sqrt()
