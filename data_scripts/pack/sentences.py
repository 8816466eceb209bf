"""The course's own sentences: a small grammar, so that no published list is copied."""

from __future__ import annotations

import random

PEOPLE = """the teacher|our neighbor|the old sailor|a young painter|my cousin|the village baker|
her brother|the night watchman|a tired farmer|the head gardener|his daughter|the chess player|
their uncle|the youngest child|a passing stranger|the train driver|the choir leader|the librarian|
a group of students|the lighthouse keeper|the new doctor|the piano tuner|my grandmother|
the ferry captain|a quiet visitor|the bicycle messenger""".replace("\n", "").split("|")
THINGS = {
    "carried": "basket blanket lantern parcel ladder saddle table carpet mirror kettle drum",
    "painted": "bridge cottage window tower wagon fence boat doorway chair lighthouse wall",
    "repaired": "bicycle engine clock roof whistle wheel radio kettle piano gate pump telescope",
    "described": "village voyage storm painting valley dream island festival garden museum machine",
    "polished": "mirror trumpet saddle table spoon lantern violin shoe handle window bell helmet",
    "borrowed": "notebook hammer jacket pencil umbrella ladder dictionary kettle tent camera map",
    "photographed": "harbor sparrow rabbit castle orchard zebra mountain donkey heron market",
    "remembered": "letter song journey puppet recipe number melody story promise bakery name",
    "measured": "carpet window plank field curtain tunnel shadow bottle doorway garden shelf rope",
    "bought": "cheese ribbon candle pillow ticket melon toothbrush jacket feather teapot jar stove",
    "followed": "path river rabbit wagon rule map trail tractor parade puppy melody stream",
    "washed": "shirt apple window blanket bottle carrot curtain jacket plate vase tractor basket",
}
ADJECTIVES = """quiet narrow yellow heavy gentle broken early empty famous hidden honest hollow
purple round rusty simple silver smooth thick tiny wooden bright crooked dusty faded green huge
large modern noisy orange plain rough sharp tall useful warm ancient blue little strange golden
vivid cheap curious ordinary""".split()
ACTIONS = """waited|laughed|whistled|stopped for a moment|turned around|rested|arrived|paused|
listened|smiled|danced|hurried home|slept|sang|walked away|looked up|shrugged""".replace(
    "\n", ""
).split("|")
MANNERS = """slowly|quietly|with great care|in a hurry|once again|without a word|just in time|
for the first time|as usual|with both hands|very carefully|on purpose|by mistake|
with a broad smile|half asleep|as well as possible""".replace("\n", "").split("|")
PLACES = """near the harbor|behind the wooden fence|under the kitchen table|beside the river|
at the edge of the forest|inside the empty station|across the narrow bridge|along the sandy path|
above the shop|between two tall towers|by the open window|in the far corner|
outside the village hall|below the clock|on the other side of the valley|through the thick fog|
near the frozen lake|behind the theater|at the top of the stairs|
in front of the church""".replace("\n", "").split("|")
TIMES = """before sunrise|late on Tuesday|during the storm|after lunch|every Friday morning|
last winter|at half past nine|in the middle of June|shortly before noon|while the music played|
just before the lights went out|early in autumn|when the bell rang|around midnight|
one rainy evening|on the first of March""".replace("\n", "").split("|")
FACTS = """seven plus nine makes sixteen|the shortest way is usually the best|
cold water turns to ice overnight|fresh bread smells better than money|
a short walk clears a busy mind|most birds return to the same place|
rain on the roof is a pleasant sound|good tools make heavy work easy|
thick fog hides the whole coast|every rule has a small exception|
the moon is brighter in winter|an open door invites a visitor|
old songs are hard to forget|the last chapter explains everything""".replace("\n", "").split("|")
NUMBERS = "two three four five six seven eight nine ten twelve".split()


def _article(word: str) -> str:
    vowel = word[0] in "aeiou" and not word.startswith("us") or word == "honest"
    return ("an " if vowel else "a ") + word


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    if word == "shelf":
        return "shelves"
    return word + ("es" if word.endswith(("ch", "sh", "s")) else "s")


def _sentence(draw: random.Random) -> str:
    one = draw.choice
    verb = one(sorted(THINGS))
    noun, other = draw.sample(THINGS[verb].split(), 2)
    adjective, second = draw.sample(ADJECTIVES, 2)
    person, action, manner = one(PEOPLE), one(ACTIONS), one(MANNERS)
    place, time, fact, number = one(PLACES), one(TIMES), one(FACTS), one(NUMBERS)
    shape = draw.randrange(10)
    text = [
        f"{person} {verb} the {adjective} {noun} {place}",
        f"{time}, {person} {verb} {_article(adjective)} {noun} and {_article(other)}",
        f"nobody {verb} the {noun}, because the {other} was too {adjective}",
        f"why has {person} never {verb} the {adjective} {noun}?",
        f"please bring {number} {adjective} {_plural(noun)} and leave them {place}",
        f"{person} {action}, and then {verb} the {adjective} {noun}",
        f"there is {_article(adjective)} {noun} {place}, but the {other} is {second}",
        f"{fact}, said {person} {manner}",
        f"if the {noun} is {adjective}, {person} will come back {manner}",
        f"{person} {action} {place}, and {verb} {number} {_plural(noun)} {manner}",
    ][shape]
    return text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")


def sentences(count: int, seed: int = 7) -> list[str]:
    """``count`` different sentences, 7 to 18 words, the same ones for the same seed."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        text = _sentence(draw)
        if len(text.split()) >= 7:
            found[text] = None
    return list(found)
