"""The sample pack and the mixtures made from it: speech, noises, songs and rooms, all offline.

The bytes lie in ``lib/data/pack`` beside a manifest with source, licence, split and hash of each
clip. The environment variable ``UNMIX_PACK`` may name another folder of the same form, for example
a larger one made by ``data_scripts/make_pack.py --full``.
"""

from lib.data.catalogue import card, clips, load, manifest, pack_folder, verify
from lib.data.items import Item
from lib.data.mixtures import NoisySpeech, Songs, Speakers, ThreeSpeakers, TwoSpeakers
from lib.data.signals import Song, noise, noise_kinds, room, song, speech

# data sets by the name that recipes use
DATASETS = {
    "two_speakers": TwoSpeakers,
    "three_speakers": ThreeSpeakers,
    "noisy_speech": NoisySpeech,
    "songs": Songs,
}

__all__ = [
    "DATASETS",
    "Item",
    "NoisySpeech",
    "Song",
    "Songs",
    "Speakers",
    "ThreeSpeakers",
    "TwoSpeakers",
    "card",
    "clips",
    "load",
    "manifest",
    "noise",
    "noise_kinds",
    "pack_folder",
    "room",
    "song",
    "speech",
    "verify",
]
