"""The sample pack and the mixtures made from it: speech, noises, songs and rooms, all offline.

The bytes lie in ``lib/data/pack`` beside a manifest with source, licence, split and hash of each
clip. The environment variable ``UNMIX_PACK`` may name another folder of the same form, for example
a larger one made by ``data_scripts/make_pack.py --full``.
"""

from lib.data.catalogue import card, clips, load, manifest, pack_folder, verify
from lib.data.mixtures import Item, NoisySpeech, Songs, TwoSpeakers
from lib.data.signals import Song, noise, noise_kinds, room, song, speech

__all__ = [
    "Item",
    "NoisySpeech",
    "Song",
    "Songs",
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
