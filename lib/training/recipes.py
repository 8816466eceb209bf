"""Recipes: everything that decides how a training goes, in one YAML file.

A recipe has the sections ``system`` (with ``weights`` of a checkpoint to begin with), ``data``,
``augment`` (options of :class:`lib.data.augmentation.Augmentation` for the training mixtures, never
for validation), ``objective``, ``optimiser``, ``schedule``, ``trainer`` and ``early_stopping``, and
a ``seed``.
What it leaves out has the value of :data:`DEFAULTS`. Unknown keys and impossible values are errors
before anything is computed.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lib.errors import InputError, require_package

if TYPE_CHECKING:
    from lib.models.base import Separator

FOLDER = Path(__file__).resolve().parent / "recipes"

# sections with further keys of their own: the arguments of the class or function they name
OPEN = ("system", "data", "augment", "objective")
DEFAULTS: dict[str, Any] = {
    "system": {"name": None, "preset": None, "weights": None},
    "data": {"name": None, "batch_size": 8, "steps_per_epoch": 100, "val_items": 100, "workers": 0},
    "augment": {},
    "objective": {"name": None},
    "optimiser": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
    "schedule": {"name": "constant", "warmup_steps": 0, "factor": 0.5, "patience": 3},
    "trainer": {
        "max_epochs": 100,
        "max_time": None,
        "gradient_clip_val": 5.0,
        "accumulate_grad_batches": 1,
        "precision": "32-true",
        "compile": False,
        "accelerator": "auto",
        "strategy": "auto",
        "devices": 1,
        "num_nodes": 1,
        "logger": "tensorboard",
    },
    "early_stopping": {"patience": None},
    "seed": 0,
}
PRESETS = ("paper", "small", "tiny")
# what the data module passes itself
_OWN = ("self", "split", "items", "seed", "sample_rate")

Check = tuple[Callable[[Any], bool], str]


def _whole(low: int, high: float = math.inf) -> Check:
    ends = f"{low} or more" if high == math.inf else f"{low} to {high}"
    return (
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
        f"a whole number, {ends}",
    )


def _number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)


def _one_of(*values: Any) -> Check:
    return lambda v: v in values, f"one of {', '.join(map(str, values))}"


def _or_none(check: Check) -> Check:
    return lambda v: v is None or check[0](v), f"{check[1]}, or null"


_POSITIVE: Check = (lambda v: _number(v) and v > 0, "a number above 0")
_NOT_NEGATIVE: Check = (lambda v: _number(v) and v >= 0, "a number, 0 or more")
_TEXT: Check = (lambda v: isinstance(v, str) and bool(v), "a name")
_CHECKS: dict[str, Check] = {
    "system.name": _TEXT,
    "system.preset": _or_none(_one_of(*PRESETS)),
    "system.weights": _or_none(_TEXT),
    "data.name": _TEXT,
    "data.batch_size": _whole(1),
    "data.steps_per_epoch": _whole(1),
    "data.val_items": _whole(1),
    "data.workers": _whole(0),
    "objective.name": _TEXT,
    "optimiser.name": _one_of("adam", "adamw", "sgd"),
    "optimiser.learning_rate": _POSITIVE,
    "optimiser.weight_decay": _NOT_NEGATIVE,
    "schedule.name": _one_of("constant", "plateau", "cosine"),
    "schedule.warmup_steps": _whole(0),
    "schedule.factor": (lambda v: _number(v) and 0 < v < 1, "a number between 0 and 1"),
    "schedule.patience": _whole(0),
    "trainer.max_epochs": _whole(1),
    "trainer.max_time": _or_none((lambda v: max_seconds(v) is not None, "DD:HH:MM:SS in quotes")),
    "trainer.gradient_clip_val": _or_none(_POSITIVE),
    "trainer.accumulate_grad_batches": _whole(1),
    "trainer.precision": _one_of("32-true", "bf16-mixed"),
    "trainer.compile": _one_of(True, False),
    "trainer.accelerator": _one_of("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.strategy": _one_of("auto", "ddp", "ddp_find_unused_parameters_true"),
    "trainer.devices": (lambda v: v == "auto" or _whole(1)[0](v), "a count, or auto"),
    "trainer.num_nodes": _whole(1),
    "trainer.logger": _one_of("tensorboard", "wandb", "wandb-offline", "none"),
    "early_stopping.patience": _or_none(_whole(1)),
    "seed": _whole(0, 2**63 - 1),
}


def recipe_names() -> list[str]:
    """The recipes that come with the course.

    Example:
        >>> "upit-blstm-small" in recipe_names()
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(recipe: str | Path | Mapping, overrides: Iterable[str] | Mapping = ()) -> dict:
    """Read a recipe, change what the overrides say, complete and check it.

    Args:
        recipe: name of one that comes with the course, path of a YAML file, or its contents.
        overrides: ``{"trainer.max_epochs": 3}``; or ``["trainer.max_epochs=3"]`` with YAML values.

    Returns:
        The sections with all their keys.

    Raises:
        InputError: naming the key and what it may be.

    Example:
        >>> recipe = load_recipe("upit-blstm-small", {"seed": 7})
        >>> recipe["system"]["name"], recipe["seed"]
        ('UPIT', 7)
    """
    given = copy.deepcopy(dict(recipe)) if isinstance(recipe, Mapping) else _read(recipe)
    if not isinstance(overrides, Mapping):
        overrides = dict(_assignment(override) for override in overrides)
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if not name:
            given[section] = value
        elif not isinstance(given.setdefault(section, {}), dict):
            raise InputError(f"{section}: expected a section with keys, got {given[section]!r}")
        else:
            given[section][name] = value
    return _complete(given)


def _read(recipe: str | Path) -> dict:
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{recipe}.yaml"
        if not path.is_file():
            raise InputError(
                f"recipe: expected a YAML file or one of {', '.join(recipe_names())}, "
                f"got {str(recipe)!r}"
            )
    given = read_yaml(path, "a recipe")
    if not isinstance(given, dict):
        raise InputError(f"{path}: expected sections such as system and data, got {given!r}")
    return given


def read_yaml(path: str | Path, what: str) -> Any:
    """Read a YAML file, with numbers such as ``3e-4``.

    Args:
        path: of the file.
        what: it should hold, for the error.

    Raises:
        InputError: if there is no such file, or it is no YAML.

    Example:
        >>> read_yaml(FOLDER / "upit-blstm-small.yaml", "a recipe")["system"]["name"]
        'UPIT'
    """
    yaml = require_package("yaml", "recipes", "pyyaml")
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _loader())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"{path}: expected {what} in YAML, got: {message}") from error


@functools.cache
def _loader() -> type:
    class Loader(require_package("yaml", "recipes", "pyyaml").SafeLoader):
        """YAML as it is, except that ``3e-4`` and ``1.5e3`` are numbers, too."""

    number = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return Loader


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"{text}: expected SECTION.KEY=VALUE")
    return key, parse_value(value)


def parse_value(text: str) -> Any:
    """Read a value as YAML does, numbers such as ``3e-4`` included.

    Args:
        text: what stood behind the key.

    Example:
        >>> parse_value("3e-4"), parse_value("[1, 2]"), parse_value("gpu")
        (0.0003, [1, 2], 'gpu')
    """
    yaml = require_package("yaml", "recipes", "pyyaml")
    if ":" in text:  # YAML would read 00:00:35:00 as a number in base 60
        return text
    try:
        return yaml.load(text, _loader())
    except yaml.YAMLError:
        return text


def _complete(given: dict) -> dict:
    _known(given, DEFAULTS, "recipe")
    recipe = copy.deepcopy(DEFAULTS)
    for section, values in given.items():
        if section == "seed":
            recipe["seed"] = values
            continue
        if not isinstance(values, dict):
            raise InputError(f"{section}: expected a section with keys, got {values!r}")
        if section not in OPEN:
            _known(values, DEFAULTS[section], section)
        recipe[section].update(values)
    for key, (fits, expected) in _CHECKS.items():
        section, _, name = key.partition(".")
        value = recipe[section][name] if name else recipe[section]
        if not fits(value):
            raise InputError(f"{key}: expected {expected}, got {value!r}")
    _check_system(recipe["system"])
    _check_data(recipe["data"], recipe["augment"])
    _check_objective(recipe["objective"])
    updates, together = recipe["data"]["steps_per_epoch"], recipe["trainer"]
    if updates % together["accumulate_grad_batches"]:
        raise InputError(
            f"trainer.accumulate_grad_batches: expected a divisor of data.steps_per_epoch, "
            f"{updates}, got {together['accumulate_grad_batches']}"
        )
    return recipe


def _known(values: Iterable[str], allowed: Iterable[str], where: str) -> None:
    for key in values:
        if key not in allowed:
            raise InputError(f"{where}: expected the keys {', '.join(allowed)}; got {key!r}")


def _parameters(function: Callable) -> list[str]:
    return list(inspect.signature(function).parameters)


def _check_system(section: dict) -> None:
    system = _system(section["name"])
    allowed = _parameters(system)
    if section["preset"]:
        allowed += _parameters(getattr(system, section["preset"]))
    _known(_extra(section, "system"), allowed, f"system ({section['name']})")


def _system(name: str) -> type[Separator]:
    import lib.models
    from lib.models.base import Separator

    known = sorted(
        key
        for key in lib.models.__all__
        if isinstance(getattr(lib.models, key), type)
        and issubclass(getattr(lib.models, key), Separator)
        and "small" in vars(getattr(lib.models, key))
    )
    if name not in known:
        raise InputError(f"system.name: expected one of {', '.join(known)}, got {name!r}")
    return getattr(lib.models, name)


def dataset_class(name: str) -> type:
    """The class of a data set.

    Args:
        name: as in recipes, such as ``two_speakers``.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> dataset_class("two_speakers").__name__
        'TwoSpeakers'
    """
    from lib.data import DATASETS

    if name not in DATASETS:
        raise InputError(f"data.name: expected one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def dataset_arguments(dataset: type) -> list[str]:
    """What a data set can be told, by it or by the classes that it passes options on to.

    Args:
        dataset: the class.

    Example:
        >>> "snr_range_db" in dataset_arguments(dataset_class("three_speakers"))
        True
    """
    from lib.data.augmentation import Augmentation

    names: list[str] = []
    for base in dataset.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters
        for name, parameter in parameters.items():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                names.append(name)
            elif name == "augment":
                names += Augmentation.OPTIONS
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return list(dict.fromkeys(names))


def _check_data(section: dict, augment: dict) -> None:
    name = section["name"]
    allowed = [key for key in dataset_arguments(dataset_class(name)) if key not in _OWN]
    _known(_extra(section, "data"), [*DEFAULTS["data"], *allowed], f"data ({name})")
    _known(augment, allowed, f"augment ({name})")


def _check_objective(section: dict) -> None:
    from lib.losses import make_objective

    try:
        make_objective(section["name"], **_extra(section, "objective"))
    except TypeError as error:
        raise InputError(f"objective: {section} cannot be: {error}") from error


def _extra(section: dict, name: str) -> dict:
    return {key: value for key, value in section.items() if key not in DEFAULTS[name]}


def build_model(recipe: dict) -> Separator:
    """Build the system of a recipe with random weights from its seed.

    Keys of the section that the preset's constructor does not take change its configuration.

    Args:
        recipe: from :func:`load_recipe`.

    Raises:
        InputError: if the system refuses its arguments.

    Example:
        >>> build_model(load_recipe("upit-blstm-small", {"system.hidden": 8})).config["hidden"]
        8
    """
    section = recipe["system"]
    system, arguments = _system(section["name"]), _extra(section, "system")
    if section["preset"]:
        preset = getattr(system, section["preset"])
        own = {key: arguments.pop(key) for key in _parameters(preset) if key in arguments}
        with torch.device("meta"):  # the sizes only
            arguments = preset(**own).config | arguments
    try:
        with torch.random.fork_rng():
            torch.manual_seed(recipe["seed"])
            return system(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"system: {section['name']} refuses {arguments}: {error}") from error


def give_weights(model: Separator, recipe: dict) -> bool:
    """Give a model the weights with which its recipe begins, if it names any.

    Args:
        model: of the recipe, from :func:`build_model`.
        recipe: from :func:`load_recipe`; ``system.weights`` is a checkpoint: a folder, or a name
            that :meth:`lib.models.Separator.from_pretrained` knows.

    Returns:
        Whether there were any.

    Raises:
        InputError: if there is no such checkpoint, or it has another configuration.

    Example:
        >>> recipe = load_recipe("upit-blstm-small")
        >>> give_weights(build_model(recipe), recipe)
        False
    """
    weights = recipe["system"]["weights"]
    if weights is None:
        return False
    start = type(model).from_pretrained(weights)
    wanted, got = (json.loads(json.dumps(one.config)) for one in (model, start))
    if different := [key for key in wanted if wanted[key] != got.get(key)]:
        raise InputError(
            f"system.weights: expected a checkpoint with {different[0]} {wanted[different[0]]!r}, "
            f"as the recipe's system, got {got.get(different[0])!r} in {weights}"
        )
    model.load_state_dict(start.state_dict())
    return True


def max_seconds(text: Any) -> float | None:
    """Seconds of ``DD:HH:MM:SS``; None if it is nothing of the kind.

    Args:
        text: such as ``"00:00:35:00"``.

    Example:
        >>> max_seconds("00:00:35:00")
        2100.0
    """
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) != 4 or not all(part.isdigit() for part in parts):
        return None
    days, hours, minutes, seconds = map(int, parts)
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
