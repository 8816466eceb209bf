"""The command line: what it writes, and each bad input as one line and exit code 2."""

import errno
import os
import shutil
import subprocess
import sys

import pandas
import pytest
import soundfile
import torch

from lib import audio, cli, data
from lib.errors import DataError
from lib.models import UPIT, HTDemucs, Separator
from lib.separate import separate as library_separate


@pytest.fixture
def recording(tmp_path):
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(2, 12_000, generator=generator)
    path = tmp_path / "recording.wav"
    audio.write(path, waveform, 11_025)
    return path


def separate(path, out, *more):
    return cli.main(["separate", str(path), "--out", str(out), "--quiet", *more])


def refused(capsys, code, *parts):
    """One line on standard error, and exit code 2."""
    errors = capsys.readouterr().err
    assert code == 2
    assert errors.count("\n") == 1 and errors.startswith("error: "), errors
    for part in parts:
        assert part in errors, errors


@pytest.mark.parametrize("method", ["identity", "spectral-subtraction", "wiener"])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_separate_writes_speech_and_noise(recording, tmp_path, capsys, method, kind):
    out = tmp_path / "new" / "folder"
    assert separate(recording, out, "--method", method, "--format", kind) == 0
    printed = capsys.readouterr().out
    mixture, rate = audio.read(recording)
    estimates = []
    for name in ("speech", "noise"):
        path = out / f"recording_{name}.{kind}"
        assert str(path) in printed
        estimate, estimate_rate = audio.read(path)
        assert estimate_rate == rate and estimate.shape == mixture.shape
        estimates.append(estimate)
    torch.testing.assert_close(sum(estimates), mixture, rtol=0, atol=1e-6)
    if method == "identity" and kind == "wav":
        assert torch.equal(estimates[0], mixture)
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_format_comes_out_in_its_length(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, torch.sin(torch.arange(20_000) * 0.1).numpy() * 0.5, 16_000)
    assert separate(path, tmp_path / "out") == 0
    speech, rate = audio.read(tmp_path / "out" / "tone_speech.wav")
    assert rate == 16_000
    assert speech.shape == audio.read(path)[0].shape


def test_nothing_is_overwritten_without_force(recording, tmp_path, capsys):
    assert separate(recording, tmp_path) == 0
    before = (tmp_path / "recording_speech.wav").read_bytes()
    capsys.readouterr()
    refused(capsys, separate(recording, tmp_path, "--method", "identity"), "--force")
    assert (tmp_path / "recording_speech.wav").read_bytes() == before
    assert separate(recording, tmp_path, "--method", "identity", "--force") == 0
    assert (tmp_path / "recording_speech.wav").read_bytes() != before


@pytest.fixture
def four_stems(tmp_path):
    """A checkpoint that separates songs, untrained."""
    options = {"filters": 4, "depth": 2, "n_fft": 256, "layers": 1, "heads": 2, "expansion": 1}
    options |= {"compression": 1, "decoder_branches": False, "bottleneck": 8}
    HTDemucs(**options, sample_rate=11_025).save(tmp_path / "four-stems")
    return tmp_path / "four-stems"


def names_of(out):
    return {path.name.removeprefix("recording_") for path in out.iterdir()}


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_vocals_and_what_they_leave(recording, four_stems, tmp_path, kind):
    out, method = tmp_path / "out", ("--method", str(four_stems))
    assert separate(recording, out, *method, "--stems", "vocals", "--format", kind) == 0
    assert names_of(out) == {f"vocals.{kind}", f"accompaniment.{kind}"}
    mixture = audio.read(recording)[0]
    estimates = [audio.read(path)[0] for path in out.iterdir()]
    lost = (sum(estimates) - mixture).std() / mixture.std()
    assert lost < (0.7 if kind == "mp3" else 1e-5)  # MP3 drops much of noise; a sample late: 1.4


def test_all_stems_that_sum_to_the_mixture_with_shifts_and_a_gain(recording, four_stems, tmp_path):
    out, method = tmp_path / "out", ("--method", str(four_stems))
    options = ("--stems", "all", "--sum-to-mixture", "--shifts", "2", "--gain-db", "-20")
    assert separate(recording, out, *method, *options) == 0
    assert names_of(out) == {"drums.wav", "bass.wav", "other.wav", "vocals.wav"}
    estimates = [audio.read(path)[0] for path in out.iterdir()]
    torch.testing.assert_close(sum(estimates), audio.read(recording)[0] / 10, rtol=0, atol=1e-6)
    expected = library_separate(
        Separator.from_pretrained(four_stems),
        *audio.read(recording),
        shifts=2,
        stems=["bass"],
        sum_to_mixture=True,
        progress=False,
    )[0]
    torch.testing.assert_close(audio.read(out / "recording_bass.wav")[0], expected / 10)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--stems", "vocals, piano"], "some of drums, bass, other, vocals, got vocals, piano"),
        (["--stems", "vocals,vocals"], "got vocals, vocals"),
        (["--stems", ""], "some of drums"),
        (["--shifts", "0"], "shifts: expected at least 1, got 0"),
        (["--format", "mp3"], "which is what MP3 holds"),
    ],
)
def test_songs_and_bad_options(four_stems, tmp_path, capsys, more, part):
    audio.write(tmp_path / "song.wav", torch.ones(2, 3000) / 9, 10_000)  # no rate of MP3
    status = separate(tmp_path / "song.wav", tmp_path / "out", "--method", str(four_stems), *more)
    refused(capsys, status, part)
    assert not (tmp_path / "out").exists()


def test_channels_that_a_method_does_not_take(four_stems, tmp_path, capsys):
    audio.write(tmp_path / "film.wav", torch.ones(6, 3000) / 9, 11_025)
    status = separate(tmp_path / "film.wav", tmp_path / "out", "--method", str(four_stems))
    refused(capsys, status, "1 or 2 channels", "got 6", "--per-channel")
    assert not (tmp_path / "out").exists()
    audio.write(tmp_path / "mono.wav", torch.ones(1, 3000) / 9, 11_025)
    assert separate(tmp_path / "mono.wav", tmp_path / "out", "--method", str(four_stems)) == 0
    assert audio.read(tmp_path / "out" / "mono_bass.wav")[0].shape == (1, 3000)


def broken_files(folder):
    """Name of a file, what writes it, and what the error names."""
    valid = folder / "valid.wav"
    audio.write(valid, torch.zeros(1, 4000) + 0.1, 8000)
    (folder / "folder.wav").mkdir()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound\n" * 20, encoding="utf-8")
    (folder / "truncated.wav").write_bytes(valid.read_bytes()[:-6000])
    for name, value in (("nan", float("nan")), ("infinity", float("inf"))):
        samples = torch.zeros(4000)
        samples[1000] = value
        soundfile.write(folder / f"{name}.wav", samples.numpy(), 8000, subtype="FLOAT")
    soundfile.write(folder / "zero-length.wav", torch.zeros(0).numpy(), 8000)
    return {
        "missing.wav": "nothing there",
        "folder.wav": "directory",
        "empty.wav": "empty",
        "text.wav": "got something else",
        "truncated.wav": "truncated",
        "nan.wav": "NaN or infinity",
        "infinity.wav": "NaN or infinity",
        "zero-length.wav": "at least one sample",
    }


BROKEN = [
    "missing.wav",
    "folder.wav",
    "empty.wav",
    "text.wav",
    "truncated.wav",
    "nan.wav",
    "infinity.wav",
    "zero-length.wav",
]


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_file_gives_one_line_and_leaves_nothing(tmp_path, capsys, name):
    part = broken_files(tmp_path)[name]
    refused(capsys, separate(tmp_path / name, tmp_path / "new" / "out"), name, part)
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written(recording, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    refused(capsys, separate(recording, tmp_path / "file"), "expected a folder, got a file")
    refused(capsys, separate(recording, tmp_path / "file" / "below"), "folder that can be made")


def test_a_disk_that_fills_up(recording, tmp_path, capsys, monkeypatch):
    def full(self, *details):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    refused(capsys, separate(recording, tmp_path / "out"), "No space left", "free disk")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small(recording, tmp_path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    refused(capsys, separate(recording, tmp_path / "out"), "MB of free disk")
    assert not (tmp_path / "out").exists()


def test_interruption_leaves_nothing(recording, tmp_path, capsys, monkeypatch):
    def interrupt(self, block):
        raise KeyboardInterrupt

    monkeypatch.setattr(audio.Writer, "write", interrupt)
    assert separate(recording, tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["separate", "a.wav"], "--out"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "COMMAND"),
        (["evaluate", "--out", "a.csv", "--items", "many"], "invalid int value"),
    ],
)
def test_bad_arguments_give_one_line(capsys, arguments, part):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    refused(capsys, exit_.value.code, part, "--help")


@pytest.mark.parametrize(
    ("method", "part"),
    [("magic", "expected identity, "), ("irm", "needs no sources"), (".", "expected a folder")],
)
def test_a_method_that_cannot_separate_is_one_line(recording, tmp_path, capsys, method, part):
    status = separate(recording, tmp_path / "out", "--method", method)
    refused(capsys, status, part, repr(method))
    assert not (tmp_path / "out").exists()


def test_another_number_of_sources_than_a_method_has_is_one_line(recording, tmp_path, capsys):
    options = ["--method", "upit-blstm-small", "--sources"]
    status = separate(recording, tmp_path / "out", *options, "3")
    refused(capsys, status, "--sources: expected 2", "upit-blstm-small separates", "got 3")
    assert not (tmp_path / "out").exists()


def test_a_trained_network_separates_and_is_evaluated(recording, tmp_path, capsys):
    UPIT.tiny().save(tmp_path / "mine")
    network = ("--method", str(tmp_path / "mine"))
    assert separate(recording, tmp_path / "out", *network) == 0
    names = sorted(path.stem.rpartition("_")[2] for path in (tmp_path / "out").iterdir())
    assert names == ["1", "2"]  # speakers
    arguments = ["evaluate", *network, "--data", "two-speakers", "--items", "1", "--quiet"]
    arguments += ["--seconds", "1", "--metrics", "si_sdr", "--out", str(tmp_path / "scores.csv")]
    assert cli.main(arguments) == 0
    assert pandas.read_csv(tmp_path / "scores.csv")["sample_rate"].tolist() == [8000, 8000]


def test_the_outputs_of_a_network_for_speakers_are_matched_to_speech_and_noise(
    tmp_path, monkeypatch
):
    scores = []
    for order in ([0, 1], [1, 0]):
        forward = UPIT.forward
        with monkeypatch.context() as patch:
            patch.setattr(UPIT, "forward", lambda *given, o=order, f=forward: f(*given)[:, o])
            arguments = ["evaluate", "--method", "upit-blstm-small", "--items", "2", "--quiet"]
            arguments += ["--seconds", "1", "--metrics", "si_sdr", "--force"]
            assert cli.main([*arguments, "--out", str(tmp_path / "scores.csv")]) == 0
        scores.append(pandas.read_csv(tmp_path / "scores.csv")["si_sdr"].tolist())
    assert scores[0] == pytest.approx(scores[1])


@pytest.mark.parametrize(
    ("method", "kind", "sources"),
    [
        ("identity", "noisy-speech", ["speech", "noise"]),
        ("irm", "two-speakers", ["speaker_1", "speaker_2"]),
        ("wiener", "two-speakers", ["speaker_1", "speaker_2"]),
    ],
)
def test_evaluate_writes_a_table(tmp_path, capsys, method, kind, sources):
    out = tmp_path / "scores.csv"
    arguments = ["evaluate", "--method", method, "--data", kind, "--items", "2", "--quiet"]
    arguments += ["--seconds", "1", "--metrics", "si_sdr,snr", "--out", str(out)]
    assert cli.main(arguments) == 0
    table = pandas.read_csv(out)
    assert table["source"].tolist() == sources * 2
    assert set(table["method"]) == {method}
    if method == "irm":
        assert table["si_sdr_i"].min() > 3
    assert "median" in capsys.readouterr().out
    refused(capsys, cli.main(arguments), "--force")
    assert cli.main([*arguments, "--force"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--items", "0"], "items"),
        (["--metrics", "loudness"], "metrics: expected some of"),
        (["--out", "no/such/folder/scores.csv"], "existing folder"),
        (["--out", "scores.txt"], ".csv"),
        (["--seconds", "-1"], "seconds"),
    ],
)
def test_evaluate_refuses_bad_input(tmp_path, capsys, monkeypatch, more, part):
    monkeypatch.chdir(tmp_path)
    refused(capsys, cli.main(["evaluate", "--quiet", "--out", "scores.csv", *more]), part)
    assert not list(tmp_path.iterdir())


def test_unknown_budget(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UNMIX_BUDGET", "huge")
    code = cli.main(["evaluate", "--quiet", "--out", str(tmp_path / "scores.csv")])
    refused(capsys, code, "UNMIX_BUDGET: expected one of smoke, cpu, gpu, got 'huge'")


def test_budget_names(monkeypatch):
    from lib.training import budget

    for name in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("UNMIX_BUDGET", name)
        assert budget().name == name
    monkeypatch.delenv("UNMIX_BUDGET")
    assert budget().name == ("gpu" if torch.cuda.is_available() else "cpu")
    with pytest.raises(AttributeError):
        budget().items = 5


def test_data_describes_and_checks_the_pack(capsys):
    assert cli.main(["data"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("The sample pack") and "all as the manifest says" in out


@pytest.mark.skipif(os.name == "nt", reason="Windows reports a closed pipe as another error")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_stops_early_is_no_error(buffered):
    program = subprocess.Popen(
        [sys.executable, "-m", "lib", "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": buffered},
    )
    program.stdout.close()
    assert (program.stderr.read(), program.wait()) == (b"", 0)
    program.stderr.close()


def test_a_corrupted_pack_is_refused(tmp_path, capsys, monkeypatch):
    copy = tmp_path / "pack"
    shutil.copytree(data.pack_folder(), copy)
    victim = next(path for path in sorted(copy.rglob("*")) if path.suffix in (".ogg", ".flac"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 255
    victim.write_bytes(content)
    monkeypatch.setenv("UNMIX_PACK", str(copy))
    refused(capsys, cli.main(["data"]), victim.name)
    monkeypatch.setenv("UNMIX_PACK", str(tmp_path / "nowhere"))
    refused(capsys, cli.main(["data"]), "nowhere")


def test_doctor_prints_a_table_and_finds_faults(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_OPTIONAL", {"no_such_package": "something is lost"})
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in (
        "torch",
        "device",
        "wav, flac, mp3 read and written; ogg read",
        "hashes right",
        "all is well",
    ):
        assert part in out
    assert "something is lost (not installed)" in out

    def damaged():
        raise DataError("the pack is damaged")

    monkeypatch.setattr(cli, "_pack", damaged)
    assert cli.main(["doctor"]) == 1
    assert "the pack is damaged" in capsys.readouterr().out


def test_the_module_runs_as_a_program(tmp_path):
    command = [sys.executable, "-m", "lib", "separate", str(tmp_path / "none.wav"), "--out", "x"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
