"""The permutation game: assign outputs to references by hand, then watch two algorithms do it."""

from __future__ import annotations

from lib.errors import InputError
from lib.widgets.element import Element


def permutation_game(
    sources: int = 3, seconds: int = 20, seed: int = 0, title: str = "Permutation game"
) -> Element:
    """A panel in which the reader assigns outputs to references against the clock.

    A round is a table of pairwise losses, drawn at random. The reader chooses one output for each
    reference; then enumeration and the Hungarian algorithm solve the same table step by step.

    Args:
        sources: of the first round, 2 to 5.
        seconds: for a round.
        seed: of the tables.
        title: heading of the panel.

    Returns:
        An HTML output.

    Raises:
        InputError: for a number of sources or seconds out of range.

    Example:
        >>> permutation_game(3)
        Permutation game: 3 sources. Run this cell to play.
    """
    if sources not in range(2, 6):
        raise InputError(f"sources: expected 2 to 5, got {sources!r}")
    if not 1 <= seconds <= 600:
        raise InputError(f"seconds: expected 1 to 600, got {seconds!r}")
    config = {
        "title": title,
        "sources": int(sources),
        "seconds": int(seconds),
        "seed": int(seed),
    }
    fallback = f"{title}: {sources} sources. Run this cell to play."
    return Element("unmix-permutation-game", config, ("permutation_game",), fallback)
