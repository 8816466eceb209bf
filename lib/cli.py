"""The command line: ``python -m lib doctor | data | separate | live | evaluate | train | sweep``.

Whatever a user can mend ends as one line on standard error and exit code 2, with nothing half
written behind.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

import lib
from lib.classical import METHODS, as_separator
from lib.course.commands import add_steps
from lib.errors import CourseError, DataError, InputError, MissingPackageError
from lib.masks import OracleMask
from lib.models import Separator, shipped
from lib.stft import STFT
from lib.training.recipes import recipe_names

DATA = ("noisy-speech", "two-speakers")
_BAD_INPUT = 2
_INTERRUPTED = 130

# package: what is lost without it
_NEEDED = {
    "numpy": "nothing works",
    "scipy": "STOI does not work",
    "pandas": "tables and the sample pack do not work",
    "soundfile": "no audio file can be read or written",
    "matplotlib": "no figures",
    "IPython": "no listening panels in notebooks",
    "yaml": "no quizzes",
    "tqdm": "no progress bars",
}
_OPTIONAL = {
    "torchaudio": "no resampling: only files that have the rate of the method or model",
    "lightning": "no training; checkpoints that ship work",
    "safetensors": "no checkpoint can be loaded or saved",
    "tensorboard": "training needs --trainer.logger none",
    "optuna": "no sweeps",
    "pesq": "no PESQ column in the tables",
    "librosa": "no mel and constant-Q pictures in chapter 2",
    "ipywidgets": "no live sliders; the widgets of the pages work",
    "sounddevice": "no denoising of the microphone; live --simulate works",
    "jupyterlab": "no notebooks on this machine",
    "nbgrader": "no course kit for instructors",
    "mir_eval": "metrics are not compared with it in the tests",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, too."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_INPUT, f"error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what stands behind ``python -m lib``; those of this process if None.

    Returns:
        The exit code: 0, 1 if ``doctor`` found a fault, 2 for bad input or bad data, 130 if
        interrupted.

    Example:
        >>> main(["separate", "no-such-file.wav", "--out", "somewhere"])
        2
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.run in (_train, _sweep):
        options.overrides = rest  # any key of the recipe is an option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        status = options.run(options)
        sys.stdout.flush()  # a reader that is gone shows here rather than at the interpreter's end
        return status
    except BrokenPipeError:  # `| head` has seen enough: what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CourseError as error:
        # in one piece: several processes of a training may speak at once
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return _BAD_INPUT
    except OSError as error:
        print(
            f"error: expected files that can be read and written, got {error}; "
            "check permissions and free disk space",
            file=sys.stderr,
        )
        return _BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; nothing was left half written", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m lib", description="Unmixing Sound on the command line.")
    parser.add_argument("--version", action="version", version=lib.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="say what works on this machine, in a table")
    doctor.set_defaults(run=_doctor)

    data = commands.add_parser("data", help="describe the sample pack and check its files")
    data.set_defaults(run=_data)

    separate = commands.add_parser("separate", help="separate the sources in an audio file")
    separate.add_argument("file", type=Path, help="wav, flac, ogg or mp3, any rate and length")
    separate.add_argument("--method", default="wiener", help=_method_help())
    separate.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    separate.add_argument("--format", choices=("wav", "flac", "mp3"), default="wav")
    separate.add_argument(
        "--stems",
        default="all",
        help="comma-separated, such as vocals,drums; what they leave is written, too; default: all",
    )
    separate.add_argument("--sources", type=int, help="how many sources you expect; default: any")
    separate.add_argument(
        "--per-channel",
        action="store_true",
        default=None,
        help="separate each channel by itself, as networks for songs in mono do anyway",
    )
    separate.add_argument(
        "--shifts", type=int, default=1, help="mean of so many answers, which takes as long"
    )
    separate.add_argument(
        "--sum-to-mixture",
        action="store_true",
        help="share among the sources what they leave of the mixture",
    )
    separate.add_argument(
        "--gain-db",
        type=float,
        default=0.0,
        help="of all outputs; below 0 where FLAC cannot hold them",
    )
    separate.add_argument("--force", action="store_true", help="replace files that exist")
    separate.add_argument("--quiet", action="store_true", help="no progress bar")
    separate.set_defaults(run=_separate)

    live = commands.add_parser(
        "live",
        help="denoise what the microphone hears, until Ctrl-C",
        description="Play what the microphone hears without its noise, until Ctrl-C, with a meter "
        "of latency and real-time factor. Wear headphones. The method must be causal.",
    )
    live.add_argument("--method", default="denoiser-small", help="default: denoiser-small")
    live.add_argument(
        "--input", type=Path, metavar="FILE", help="a recording in the microphone's place"
    )
    live.add_argument(
        "--simulate", action="store_true", help="with --input: play nothing, as fast as it goes"
    )
    live.add_argument("--out", type=Path, metavar="FILE", help="write what comes out, too")
    live.add_argument("--stem", help="which of the method's sources; default: the first")
    live.add_argument(
        "--block-ms", type=float, default=16.0, help="handed over together; default: 16"
    )
    live.add_argument("--force", action="store_true", help="replace a file that exists")
    live.add_argument("--quiet", action="store_true", help="no meter on the way")
    live.set_defaults(run=_live)

    evaluate = commands.add_parser("evaluate", help="score a method on the sample pack")
    evaluate.add_argument(
        "--method", default="wiener", help=f"{_method_help()}, or {', '.join(OracleMask.KINDS)}"
    )
    evaluate.add_argument("--data", choices=DATA, default="noisy-speech")
    evaluate.add_argument("--split", choices=("train", "val", "test"), default="test")
    evaluate.add_argument("--items", type=int, default=None, help="default: as the budget says")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--snr-db", type=float, default=0.0, help="of noisy speech")
    evaluate.add_argument("--seconds", type=float, default=None, help="length of each item")
    evaluate.add_argument("--metrics", default=None, help="comma-separated, e.g. si_sdr,stoi")
    evaluate.add_argument("--out", type=Path, required=True, metavar="CSV", help="output table")
    evaluate.add_argument("--force", action="store_true", help="replace a table that exists")
    evaluate.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluate.set_defaults(run=_evaluate)

    train = commands.add_parser(
        "train",
        help="train a system by a recipe",
        usage="%(prog)s RECIPE [--out DIR] [--resume] [--quiet] [--SECTION.KEY VALUE ...]",
        description="Train a system by a recipe. Any key of it can be given as an option, such as "
        "--optimiser.learning_rate 3e-4, --trainer.max_epochs 5 or --seed 7.",
    )
    train.add_argument("recipe", help=_recipe_help())
    train.add_argument("--out", type=Path, metavar="DIR", help="default: runs/RECIPE")
    train.add_argument("--resume", action="store_true", help="go on with the training in --out")
    train.add_argument("--quiet", action="store_true", help="no progress bar, no line per epoch")
    train.set_defaults(run=_train)

    sweep = commands.add_parser(
        "sweep",
        help="search over the numbers of a recipe",
        usage="%(prog)s RECIPE --space YAML [--trials N] [--storage URL] [--out DIR] [--quiet] "
        "[--SECTION.KEY VALUE ...]",
        description="Train a recipe with other values again and again. Any key of the recipe can "
        "be given as an option, as for train. A sweep goes on where its storage ends.",
    )
    sweep.add_argument("recipe", help=_recipe_help())
    sweep.add_argument("--space", type=Path, required=True, metavar="YAML", help="keys and ranges")
    sweep.add_argument("--trials", type=int, default=20, help="trainings in all; default 20")
    sweep.add_argument("--storage", metavar="URL", help="default: sqlite:///OUT/sweep.db")
    sweep.add_argument("--out", type=Path, metavar="DIR", help="default: runs/RECIPE-sweep")
    sweep.add_argument("--quiet", action="store_true", help="no line per training")
    sweep.set_defaults(run=_sweep)

    course = commands.add_parser("course", help="hand out, collect and grade assignments")
    add_steps(course)
    return parser


def _recipe_help() -> str:
    return f"one of {', '.join(recipe_names())}, or a YAML file"


def _method_help() -> str:
    return (
        f"{', '.join((*METHODS, *shipped()))}, the folder of a checkpoint, or official weights "
        "such as openunmix/umxhq"
    )


def _is_network(method: str) -> bool:
    return method not in METHODS and method not in OracleMask.KINDS


def _network(method: str) -> Separator:
    from lib.models import official

    if method not in (*shipped(), *official.names()) and not Path(method).is_dir():
        raise InputError(f"--method: expected {_method_help()}; got {method!r}")
    return Separator.from_pretrained(method)


def _separate(options: argparse.Namespace) -> int:
    from lib.audio import info
    from lib.separate import output_names, separate_file

    if options.method in OracleMask.KINDS:
        raise InputError(
            f"--method: expected a method that needs no sources, got {options.method!r}; "
            "evaluate takes it"
        )
    if _is_network(options.method):
        model = _network(options.method)
    else:
        model = as_separator(options.method, info(options.file).sample_rate)
    if options.sources not in (None, len(model.source_names)):
        raise InputError(
            f"--sources: expected {len(model.source_names)}, which is what {options.method} "
            f"separates ({', '.join(model.source_names)}), got {options.sources}; take a method "
            "that is made for as many"
        )
    stems = None
    if options.stems != "all":
        stems = [stem.strip() for stem in options.stems.split(",")]
    outputs = [
        options.out / f"{options.file.stem}_{name}.{options.format}"
        for name in output_names(model, stems)
    ]
    made = _make_folder(options.out)
    try:
        separate_file(
            model,
            options.file,
            outputs,
            per_channel=options.per_channel,
            shifts=options.shifts,
            stems=stems,
            sum_to_mixture=options.sum_to_mixture,
            gain_db=options.gain_db,
            force=options.force,
            progress=not options.quiet,
        )
    except BaseException:
        for folder in made:
            folder.rmdir()
        raise
    for output in outputs:
        print(output)
    return 0


def _live(options: argparse.Namespace) -> int:
    from lib.live import listen, simulate

    if options.simulate != (options.input is not None):
        raise InputError(
            "--input and --simulate: expected both, or neither for the microphone, got one"
        )
    if not _is_network(options.method):
        raise InputError(
            f"--method: expected a causal network such as denoiser-small, got {options.method!r}, "
            "which hears the whole recording first"
        )
    model = _network(options.method)
    settings = {
        "stem": options.stem,
        "block_ms": options.block_ms,
        "force": options.force,
        "progress": not options.quiet,
    }
    if options.simulate:
        meter = simulate(model, options.input, options.out, **settings)
    else:
        meter = listen(model, options.out, **settings)
    print(meter)
    if options.out:
        print(options.out)
    return 0


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were not there, innermost first."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, got a file; choose another --out")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be made, got an error ({error.strerror}); "
            "choose another --out"
        ) from error
    return made


def _evaluate(options: argparse.Namespace) -> int:
    from lib.data import NoisySpeech, TwoSpeakers
    from lib.evaluation import evaluate, summarise
    from lib.training import budget

    _check_table(options.out, options.force)
    common = {
        "split": options.split,
        "items": budget().items if options.items is None else options.items,
        "seed": options.seed,
        "seconds": options.seconds,
    }
    two_speakers = options.data == "two-speakers"
    network = _network(options.method) if _is_network(options.method) else None
    if network is not None:
        common["sample_rate"] = network.sample_rate
    dataset = (
        TwoSpeakers(**common) if two_speakers else NoisySpeech(snr_db=options.snr_db, **common)
    )
    if options.method in OracleMask.KINDS:
        hop_length = dataset.sample_rate * 8 // 1000
        separator = OracleMask(options.method, STFT(4 * hop_length, hop_length))
    else:
        separator = network or as_separator(options.method, dataset.sample_rate)
    scores = evaluate(
        separator,
        dataset,
        options.metrics.split(",") if options.metrics else None,
        method=options.method,
        # a denoiser's speech and noise are nobody in particular where two people speak, nor are a
        # network's speakers anywhere
        permute=options.method not in OracleMask.KINDS
        and (two_speakers or getattr(separator, "any_order", False)),
        progress=not options.quiet,
    )
    _write_table(scores, options.out)
    summary = summarise(scores, ["method", "source"])
    print(summary.round(2).to_string(index=False))
    print(options.out)
    return 0


def _train(options: argparse.Namespace) -> int:
    overrides = _overrides(options.overrides)
    from lib.training.engine import is_first_process, train

    folder = train(
        options.recipe,
        options.out or Path("runs") / Path(options.recipe).stem,
        resume=options.resume,
        overrides=overrides,
        progress=not options.quiet,
    )
    if is_first_process():
        print(folder)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    overrides = _overrides(options.overrides)
    from lib.training import load_recipe
    from lib.training.sweeps import sweep

    load_recipe(options.recipe, overrides)  # before a folder is made
    out = options.out or Path("runs") / f"{Path(options.recipe).stem}-sweep"
    _make_folder(out)
    best = sweep(
        options.recipe,
        options.space,
        options.trials,
        options.storage or f"sqlite:///{(out / 'sweep.db').as_posix()}",
        out,
        overrides=overrides,
        progress=not options.quiet,
    )
    print(f"best: {best['score']:.2f} dB with {best['values']}\n{best['folder']}")
    return 0


def _overrides(words: Sequence[str]) -> dict[str, Any]:
    """``--trainer.devices 2 --seed=7`` as a dict."""
    from lib.training.recipes import parse_value

    values: dict[str, Any] = {}
    words = list(words)
    while words:
        option, sign, value = words.pop(0).partition("=")
        if not option.startswith("--") or not (sign or words):
            raise InputError(f"{option}: expected --SECTION.KEY VALUE, got {option!r} alone")
        values[option.removeprefix("--")] = parse_value(value if sign else words.pop(0))
    return values


def _check_table(path: Path, force: bool) -> None:
    if path.suffix != ".csv" or path.is_dir():
        raise InputError(f"{path}: expected a file name that ends in .csv")
    if not path.parent.is_dir():
        raise InputError(f"{path}: expected an existing folder, got none; make it first")
    if path.exists() and not force:
        raise InputError(f"{path}: expected a free name, got a file that exists; add --force")


def _write_table(table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _data(options: argparse.Namespace) -> int:
    from lib.data import card, verify

    print(card())
    files = verify()
    damaged = files[~files["ok"]]
    if len(damaged):
        raise DataError(
            f"{damaged.iloc[0]['path']}: expected the file that the manifest describes, got "
            f"another or none ({len(damaged)} of {len(files)} files); fetch the course again"
        )
    print(f"{len(files)} files, all as the manifest says")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    rows = [
        ("Unmixing Sound", lib.__version__, ""),
        ("Python", platform.python_version(), "" if sys.version_info >= (3, 11) else "need 3.11"),
        ("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", ""),
        ("torch", torch.__version__, ""),
        ("device", _device(), ""),
    ]
    faults = 0
    for table, needed in ((_NEEDED, True), (_OPTIONAL, False)):
        for package, loss in table.items():
            version, problem = _import(package)
            faults += bool(problem) and needed
            rows.append((package, version, f"{loss} ({problem})" if problem else ""))
    for name, check in (("audio files", _audio_files), ("sample pack", _pack)):
        try:
            rows.append((name, check(), ""))
        except (CourseError, OSError) as error:
            faults += 1
            rows.append((name, "fault", " ".join(str(error).split())))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, found, remark in rows:
        print(f"{name:<{wide[0]}}  {found:<{wide[1]}}  {remark}".rstrip())
    print("all is well" if not faults else f"{faults} fault(s) to mend")
    return 1 if faults else 0


def _device() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})"
    return "Apple GPU (mps)" if torch.backends.mps.is_available() else "CPU"


def _import(package: str) -> tuple[str, str]:
    """Version and problem of a package: one of the two is a dash or empty."""
    try:
        module = importlib.import_module(package)
    except Exception as error:  # a broken package may raise anything, and doctor must go on
        kind = "not installed" if isinstance(error, ModuleNotFoundError) else str(error)[:80]
        return "-", kind
    version = getattr(module, "__version__", None)
    return str(version or importlib.metadata.version(package)), ""


def _audio_files() -> str:
    from lib.audio import read, write

    soundfile = importlib.import_module("soundfile") if _import("soundfile")[0] != "-" else None
    if soundfile is None:
        raise MissingPackageError("soundfile is not installed: pip install soundfile")
    tone = torch.sin(torch.arange(8000) * 0.3)[None] / 2
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, tolerance in (("wav", 1e-6), ("flac", 1e-6), ("mp3", 0.1)):
            write(Path(folder) / f"tone.{suffix}", tone, 8000)
            waveform, _ = read(Path(folder) / f"tone.{suffix}")
            if (waveform - tone).abs().max() > tolerance:
                raise DataError(f"a {suffix} file came back changed")
            done.append(suffix)
        soundfile.write(Path(folder) / "tone.ogg", tone[0].numpy(), 8000)
        read(Path(folder) / "tone.ogg")
    return f"{', '.join(done)} read and written; ogg read"


def _pack() -> str:
    from lib.data import verify

    files = verify()
    if not files["ok"].all():
        raise DataError(f"{(~files['ok']).sum()} of {len(files)} files differ from the manifest")
    return f"{len(files)} files, hashes right"
