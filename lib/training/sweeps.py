"""A search over the numbers of a recipe, with Optuna; poor trials are given up early.

A space is a YAML file of recipe keys. A list is a choice; ``low`` and ``high`` a range, of whole
numbers if both are whole::

    optimiser.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    system.hidden: {low: 64, high: 256, step: 64}
    system.activation: [relu, sigmoid]

Everything that was tried stands in the storage, so a sweep that was interrupted goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.errors import InputError, require_package
from lib.training.engine import train
from lib.training.recipes import load_recipe, read_yaml
from lib.training.task import SCORE, Diverged

_OPTIONS = ("low", "high", "log", "step")


def sweep(
    recipe: str | Path | Mapping,
    space: str | Path | Mapping,
    trials: int,
    storage: str,
    out: str | Path,
    *,
    overrides: Mapping[str, Any] | tuple = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Train a recipe again and again with other values, and keep the best.

    Values come from Optuna's tree-structured Parzen estimator; its Hyperband pruner looks at the
    validation score after each epoch.

    Args:
        recipe: see :func:`lib.training.recipes.load_recipe`.
        space: a YAML file as above, or its contents.
        trials: how many trainings, those that the storage already has included.
        storage: where the study is kept, such as ``sqlite:///sweep.db``.
        out: the folder of the trainings, one folder each.
        overrides: changes of the recipe for all of them.
        progress: print a line per training.

    Returns:
        ``score`` (dB), ``values`` of the keys and ``folder`` of the best training.

    Raises:
        InputError: for a space that does not fit the recipe, or a storage with another study.

    Example:
        >>> sweep("upit-blstm-small", {"optimiser.speed": [1, 2]}, 2, "sqlite://", "runs/sweep")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: optimiser: expected the keys name, learning_rate, weight_decay; ...
    """
    optuna = require_package("optuna", "a sweep")
    out = Path(out)
    if trials < 1:
        raise InputError(f"trials: expected 1 or more, got {trials}")
    base = load_recipe(recipe, overrides)
    if (base["trainer"]["devices"], base["trainer"]["num_nodes"]) != (1, 1):
        raise InputError(
            "trainer.devices and num_nodes: expected 1 in a sweep, got "
            f"{base['trainer']['devices']} and {base['trainer']['num_nodes']}"
        )
    space = _space(optuna, space)
    for key, choices in space.items():
        for value in choices if isinstance(choices, list) else (choices["low"], choices["high"]):
            load_recipe(base, {key: value})  # names what does not fit
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _search(optuna, base, space, trials, storage, out, progress)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _search(
    optuna: Any, base: dict, space: dict, trials: int, storage: str, out: Path, progress: bool
) -> dict[str, Any]:
    study = _study(optuna, base, space, storage)
    if not study.trials and any(out.glob("trial-*")):
        raise InputError(f"{out}: expected no trainings of another sweep; choose another --out")

    def objective(trial: Any) -> float:
        scores = []

        def report(row: dict[str, float]) -> None:
            scores.append(row[SCORE])
            trial.report(row[SCORE], len(scores))  # epochs spent: what Hyperband divides
            if len(scores) < base["trainer"]["max_epochs"] and trial.should_prune():
                raise optuna.TrialPruned()

        values = {key: _suggest(trial, key, choices) for key, choices in space.items()}
        folder = out / f"trial-{trial.number}"
        train(base, folder, overrides=values, progress=False, on_epoch=report)
        return max(scores)

    def line(study: Any, trial: Any) -> None:
        if progress:
            ended = trial.state == optuna.trial.TrialState.COMPLETE
            score = f"{trial.value:.2f} dB" if ended else "given up"
            print(f"trial {trial.number}: {score} {trial.params}", flush=True)

    left = trials - len(_finished(optuna, study))
    if left > 0:
        study.optimize(objective, n_trials=left, callbacks=[line], catch=(Diverged,))
    if not study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        raise InputError(f"space: expected one training that ends, got none of {trials} trials")
    best = study.best_trial
    return {
        "score": best.value,
        "values": best.params,
        "folder": str(out / f"trial-{best.number}" / "model"),
    }


def _space(optuna: Any, space: str | Path | Mapping) -> dict[str, Any]:
    if not isinstance(space, Mapping):
        space = read_yaml(space, "a search space")
    if not isinstance(space, Mapping) or not space:
        raise InputError(f"space: expected keys such as optimiser.learning_rate, got {space!r}")
    for key, choices in space.items():
        is_list = isinstance(choices, list) and choices
        is_range = isinstance(choices, dict) and {"low", "high"} <= set(choices) <= set(_OPTIONS)
        if not (is_list or is_range):
            raise InputError(f"{key}: expected a list, or low and high (log, step), got {choices}")
        first = choices[0] if is_list else choices["low"]
        try:
            _suggest(optuna.trial.FixedTrial({key: first}), key, choices)
        except (TypeError, ValueError) as error:  # such as low above high
            raise InputError(f"{key}: expected a range, got {choices}: {error}") from error
    return dict(space)


def _suggest(trial: Any, key: str, choices: Any) -> Any:
    if isinstance(choices, list):
        return trial.suggest_categorical(key, choices)
    whole = all(isinstance(choices[end], int) for end in ("low", "high"))
    options = {name: choices[name] for name in ("log", "step") if name in choices}
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(key, choices["low"], choices["high"], **options)


def _finished(optuna: Any, study: Any) -> list[Any]:
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=ended)


def _study(optuna: Any, base: dict, space: dict, storage: str) -> Any:
    """The study in a storage, begun or gone on with."""
    what = json.dumps({"recipe": base, "space": space}, sort_keys=True)
    try:
        study = optuna.create_study(
            study_name="sweep", storage=storage, direction="maximize", load_if_exists=True
        )
    except Exception as error:  # the storage is a database of any kind, with errors of its own
        message = " ".join(str(error).split())[:200]
        raise InputError(
            f"storage: expected an address such as sqlite:///sweep.db, got {storage}: {message}"
        ) from error
    if study.user_attrs.get("what", what) != what:
        raise InputError(
            f"storage: expected a sweep over the same recipe and space, got another in {storage}; "
            "choose another --storage"
        )
    study.set_user_attr("what", what)
    running = optuna.trial.TrialState.RUNNING
    for trial in study.get_trials(deepcopy=False, states=(running,)):  # of a process that died
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    epochs = base["trainer"]["max_epochs"]
    study.pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    study.sampler = optuna.samplers.TPESampler(seed=base["seed"] + len(study.trials))
    return study
