"""Training: so far the budget that a notebook may spend."""

from lib.training.budget import Budget, budget

__all__ = ["Budget", "budget"]
