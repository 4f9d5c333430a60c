# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts: whether a channel does what its name says (numpy only).

Each channel is looked at by itself first, then beside the others of its face.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from ..arrays import Floats
from ..shared import ARKIT_CHANNELS, HEAD_CHANNELS
from .direct import EYE_TURNS
from .effects import STILL, TO_A_SIDE, Effect, Kind, Verdict, other_side
from .fitting.actions import template
from .likeness import SEEN, actions, held, likeliest, likeness, near, unexplained, ways

#: Skin that goes less far than this can hardly be seen, where it is less than that share of what the action does on
#: either face.
_WEAK: Final = ((SEEN, 0.25), (2 * SEEN, 0.1))
#: Cosine of what a channel does with what it should do. Two artists' actions of one name have 0.42 and more; below
#: that, another channel that is likelier is a reason to doubt.
_ALIKE: Final = 0.3
_AGREE: Final = 0.4
_UNLIKE: Final = 0.1
#: One artist's action is no more like another one than like another artist's of its name by this.
_DRAWN: Final = 0.35
#: Of what a channel does, another channel leaves so much less than its own unexplained: it is that one; so much less
#: the opposite of another one: there artists differ more.
_OTHER: Final = 0.4
_OPPOSITE: Final = 0.2
#: The same where two channels would each explain what the other does.
_SWAPPED: Final = 0.5
#: Radians that an eye turns at least when it looks somewhere, and at most when it does not.
_TURNS: Final = 0.05
#: How far from the wanted direction a turn may lie, as a cosine.
_AIMED: Final = 0.8
_HALF_WAY: Final = 0.4
#: Where skin goes less than this share of what goes farthest, parts before it move: drawn brows, flat irises.
_BEFORE: Final = 0.1
_MEANT: Final = 0.3
_SAME_WAY: Final = 0.5
#: Cosine from which on a key that nobody named so shows an action.
_SURELY: Final = 0.7
#: What one side does is no mirror image of itself: on sound faces the cosine is 0.48 at most. Of what both do, the one
#: half does this share of the other's at least, in squares: 0.38 on sound faces. A tongue is no farther aside, in eye
#: distances: 0.01.
_BOTH_SIDES: Final = 0.7
_ONE_SIDE: Final = 0.2
_ASIDE: Final = 0.1
#: Both sides of a sound face are mirror images at this cosine at least, and neither goes farther than so many times.
_MIRRORED: Final = 0.86
_AS_FAR: Final = 1.6
#: From here on too little is left between them to tell of: no face is quite even, and a jaw goes far.
_ALL_BUT: Final = 0.98
#: What was added to one side is this share of what is left between both, in squares, and goes no more than so many
#: times as far as where it is alone: on sound faces 0.24 is another channel's at most, and 0.58 where an eye is lower.
_ADDED: Final = 0.75
_AS_ADDED: Final = 1.5
#: The edges of upper and lower lip, of the template's places, and what share of what jawOpen parts there mouthClose
#: closes at least: 0.68 on sound faces, and a raised lower lip 0.27 at most.
_UPPER_LIP: Final = (50, 51, 52)
_LOWER_LIP: Final = (58, 57, 56)
_CLOSES: Final = 0.45
#: Eye distances; a jaw that opens farther says nothing about mouthClose. The widest of sound faces: 0.51.
_OPEN: Final = 0.6
#: What goes so many times as far as on either face, and as the other channels of its own do: 1.7 on sound faces, and
#: twice that where a key is both of two opposites.
_FARTHER: Final = 2.8
#: The same of an eye that turns: 1.5 on sound faces, and 2 where a key and a bone both turn it.
_TURNED_FARTHER: Final = 1.8
#: An eyeball is moved out of its place, in eye distances: a front half that turns comes to 0.09.
_OUT_OF_PLACE: Final = 0.15
#: Two channels whose effects are as alike as this are one.
_SAME: Final = 0.999


@dataclass
class _Face:
    """The channels of a face, and what is thought of them so far.

    Attributes:
        effects, joined: see `verdicts`.
        alike: channel -> `likeness` of what it does to the skin.
        found: channel -> its verdict.
    """

    effects: MappingABC[str, Effect]
    joined: MappingABC[str, Collection[str]]
    alike: MappingABC[str, MappingABC[str, float]]
    found: dict[str, Verdict]

    def right(self, channel: str) -> bool:
        """Whether nothing is wrong with a channel so far."""
        return channel in self.found and self.found[channel].kind == "RIGHT"

    def say(self, channel: str, kind: Kind, seems: str = "", swapped: bool = False) -> None:
        """Think otherwise of a channel."""
        self.found[channel] = replace(self.found[channel], kind=kind, seems=seems, swapped=swapped)


def verdicts(
    effects: MappingABC[str, Effect], joined: MappingABC[str, Collection[str]] = MappingProxyType({})
) -> dict[str, Verdict]:
    """What is to be thought of each channel of arkit55 that moves something.

    Two sides that are no mirror images of each other are doubted together.

    Args:
        effects: channel -> what its targets do together.
        joined: channel -> those that share a target with it, and so may move with it.
    """
    alike = {channel: likeness(effect.skin) for channel, effect in effects.items() if effect.skin is not None}
    found = {
        channel: _verdict(channel, effect, alike.get(channel), joined.get(channel, ()))
        for channel, effect in effects.items()
    }
    face = _Face(effects, joined, alike, found)
    for rule in (_swapped, _copied, _sides_differ, _lopsided, _left_open, _crossed, _apart, _too_far):
        rule(face)
    return face.found


def _swapped(face: _Face) -> None:
    """Two channels that would explain each other's effects better than their own."""
    seems = {c: verdict.seems for c, verdict in face.found.items() if verdict.kind == "WRONG"}
    asked = {c: row for c, row in face.alike.items() if face.found[c].kind not in ("STILL", "UNKNOWN")}
    for one, other in _swaps(asked, seems):
        face.say(one, "WRONG", other, swapped=True)
        face.say(other, "WRONG", one, swapped=True)


def _copied(face: _Face) -> None:
    """Of two that do the same, the one it is meant for, or neither."""
    found = face.found
    for one, other in _copies(face.effects):
        if other in face.joined.get(one, ()):  # as a key by which both eyes look to a side
            continue
        # What the other sides do says more than what it is like: faces are drawn in many ways. Liars say nothing.
        lying = {c for c in (one, other) if other_side(c) in found and found[other_side(c)].kind == "WRONG"}
        uneven = {c: float("nan") if c in lying else _unevenness(face.effects, c) for c in (one, other)}
        sided = min(uneven.values()) < _OTHER * max(uneven.values())
        for channel, instead in ((one, other), (other, one)):
            seen, twin = found[channel], found[instead]
            less = uneven[instead] < uneven[channel] if sided else seen.alike < twin.alike - 1e-3
            if seen.kind == "RIGHT" and less:
                face.say(channel, "WRONG", instead)
            elif seen.kind == "RIGHT" and twin.swapped and seen.alike < face.alike[channel][twin.seems] - 1e-3:
                face.say(channel, "WRONG", twin.seems)


def _sides_differ(face: _Face) -> None:
    """A left and a right channel, or both halves of one in the middle, that are no mirror images."""
    for one, other in _uneven(face.effects):
        for channel, instead in ((one, other), (other, one)):
            twin = face.found[instead]
            if face.right(channel) and (twin.kind == "RIGHT" or twin.seems == channel):
                face.say(channel, "UNEVEN", instead)


def _lopsided(face: _Face) -> None:
    """A movement of both sides, or of the other one, though its channel is not; or of one, though it is."""
    for channel, effect in face.effects.items():
        alone = {other_side(channel), _together(channel)}.isdisjoint(face.joined.get(channel, ()))
        if alone and face.right(channel) and _one_sided(channel, effect):
            face.say(channel, "UNEVEN", channel)


def _left_open(face: _Face) -> None:
    """A mouthClose that hardly closes what jawOpen opens."""
    if face.right("jawOpen") and face.right("mouthClose"):
        opens, closes = (_parted(face.effects[channel].skin) for channel in ("jawOpen", "mouthClose"))
        if -closes < _CLOSES * min(opens, _OPEN):
            face.say("mouthClose", "WEAK", "jawOpen")


def _crossed(face: _Face) -> None:
    """Two that are each more like the other, one of the middle, for which no side speaks, or what no key is called."""
    best = {channel: likeliest(row) for channel, row in face.alike.items() if row.get(channel)}
    for channel, other in best.items():
        if channel in LOOKS or other == channel:  # the eye shows it, and lids may do as they like
            continue
        called, row = face.found.get(other), face.alike[channel]
        lies = called is not None and called.kind == "WRONG" and other_side(channel) == channel
        lost = called is None and row[other] > row[channel] + _DRAWN
        if face.right(channel) and (lies or lost or best.get(other) == channel):
            face.say(channel, "DOUBT", other)


def _apart(face: _Face) -> None:
    """What should take another object along with the skin, or leave an eye where it is, and does not."""
    for channel, effect in face.effects.items():
        if channel in HEAD_CHANNELS or channel == "tongueOut" or not face.right(channel):
            continue
        shifted = [role for role, shift in effect.shifts.items() if shift > _OUT_OF_PLACE]
        for beside in (shifted or (() if channel in LOOKS else effect.apart))[:1]:
            face.say(channel, "APART", beside)


def _too_far(face: _Face) -> None:
    """What goes much farther than on other faces."""
    for channel, times in _farther(face.effects).items():
        if face.right(channel) and times > (_TURNED_FARTHER if channel in LOOKS else _FARTHER):
            face.say(channel, "FAR")


def _farther(effects: MappingABC[str, Effect]) -> dict[str, float]:
    """How many times as far a channel's skin goes as on either face, and as those of this face do on the whole."""
    times: dict[str, float] = {}
    looks: dict[str, float] = {}
    for channel, effect in effects.items():
        for role, turns in EYE_TURNS.items():
            if channel in turns and role in effect.turns:
                looks[channel] = float(np.linalg.norm(effect.turns[role]) / np.linalg.norm(turns[channel]))
        there = [float(np.linalg.norm(moves[channel], axis=1).max()) for moves in actions() if channel in moves]
        if there and effect.skin is not None and channel not in LOOKS:
            times[channel] = float(np.linalg.norm(effect.skin, axis=1).max()) / max(there)
    usual = max(1.0, float(np.median(list(times.values())))) if times else 1.0
    return looks | {channel: far / usual for channel, far in times.items()}


def _verdict(channel: str, effect: Effect, alike: MappingABC[str, float] | None, joined: Collection[str]) -> Verdict:
    own = alike.get(channel, float("nan")) if alike is not None else float("nan")
    if effect.reach < STILL:
        return Verdict("STILL", reach=effect.reach, alike=own)

    def says(kind: Kind, seems: str = "") -> Verdict:
        return Verdict(kind, seems, False, effect.reach, own)

    if channel in HEAD_CHANNELS:
        return says(*_turned(channel, effect.turns.get("head"), HEAD_CHANNELS))
    role = next((role for role, turns in EYE_TURNS.items() if channel in turns), None)
    looks = _looks(effect)
    if not looks and effect.skin is not None and channel in (alike or {}) and _before(effect):
        return says(*_part(channel, effect))
    if role is not None and role in effect.turns:
        also = {channel, _together(channel)} & {channel, *joined}
        if looks and ([look for look in looks if look not in also] or channel not in looks):
            return says("WRONG", next((look for look in looks if look not in also), looks[0]))
        # Lids may stay where they are, but not do something else.
        if alike is not None and effect.skin is not None:
            best = likeliest(alike)
            if alike[best] > 2 * max(own, _ALIKE):
                return says("WRONG", best)
            if own < _UNLIKE and float(np.linalg.norm(effect.skin, axis=1).max()) > SEEN:
                return says("WRONG")
            likelier = best not in LOOKS and unexplained(alike[best]) < _OTHER * unexplained(own)
            if more := best if likelier else held(effect.skin, channel, *joined):
                return says("DOUBT", more)
        return says("RIGHT" if looks else "PART")
    if looks and channel != "tongueOut":
        return says("WRONG", looks[0])
    if channel == "tongueOut":
        best = likeliest(alike) if alike and not _before(effect) else ""
        if alike and best and alike[best] > _SURELY:  # it is skin
            return says("WRONG", best)
        return says(*_tongue(effect))
    if alike is None or effect.skin is None or channel not in alike:
        return says("UNKNOWN")
    best, opposite = likeliest(alike), max((c for c in alike if c.startswith("-")), key=lambda c: alike[c])
    if own < -_ALIKE and -own > alike[best] - 0.2:
        return says("WRONG", f"-{channel}")
    if own < _UNLIKE or (own < _ALIKE and alike[best] > own + 0.15):
        return says("WRONG", best if alike[best] > 1.5 * _ALIKE else "")
    if own < _ALIKE or (own < _AGREE and alike[best] > own + 0.15):
        return says("DOUBT")
    if best != channel and unexplained(alike[best]) < _OTHER * unexplained(own):
        return says("WRONG", best)
    if unexplained(alike[opposite]) < _OPPOSITE * unexplained(own):
        return says("DOUBT", opposite)
    size, most = float(np.linalg.norm(effect.skin)), float(np.linalg.norm(effect.skin, axis=1).max())
    least = min(float(np.linalg.norm(moves[channel])) for moves in actions() if channel in moves)
    if any(most < far and size < share * least for far, share in _WEAK):
        return says("WEAK")
    if channel in TO_A_SIDE and _of_both_sides(effect):
        return says("DOUBT", other_side(channel))
    if more := held(effect.skin, channel, *joined):
        return says("DOUBT", more)
    return says("PART" if channel in LOOKS else "RIGHT")  # no eye is seen, where lids look


LOOKS: Final = frozenset(channel for turns in EYE_TURNS.values() for channel in turns)
_HEAD: Final = dict(zip(HEAD_CHANNELS, np.eye(3), strict=True))


def _turned(channel: str, turn: Floats | None, others: tuple[str, ...]) -> tuple[Kind, str]:
    """Whether a head turns as ``channel`` should turn it, and not as one of ``others``."""
    if turn is None:
        return "UNKNOWN", ""
    angle = float(np.linalg.norm(turn))
    if angle < _TURNS / 2:
        return "STILL", ""
    aimed = {name: float(turn @ _HEAD[name]) / angle for name in others}
    if aimed[channel] >= _AIMED:
        return "RIGHT", ""
    best = max(aimed, key=lambda name: abs(aimed[name]))
    if aimed[channel] > _HALF_WAY:  # a bone that leans, and is locked about one of its own axes
        return "DOUBT", max((name for name in aimed if name != channel), key=lambda name: abs(aimed[name]))
    return "WRONG", best if aimed[best] > 0 else f"-{best}"


def _looks(effect: Effect) -> list[str]:
    """The looks that eyes do, the farthest first."""
    found: dict[str, float] = {}
    for role, turns in EYE_TURNS.items():
        turn = effect.turns.get(role)
        if turn is None or (angle := float(np.linalg.norm(turn))) < _TURNS:
            continue
        aimed = {
            c: float(np.array(wanted) @ turn) / (angle * float(np.linalg.norm(wanted))) for c, wanted in turns.items()
        }
        found |= {channel: angle * cosine for channel, cosine in aimed.items() if cosine > 0.6}
    most = max(found.values(), default=0.0)
    return sorted((c for c in found if found[c] > 0.3 * most), key=lambda c: -found[c])


def _together(channel: str) -> str:
    """What the other eye does when both look there, as keys of both eyes make them."""
    if "In" in channel or "Out" in channel:
        channel = channel.replace("In", "*").replace("Out", "In").replace("*", "Out")
    return other_side(channel)


def _tongue(effect: Effect) -> tuple[Kind, str]:
    if effect.skin is None:  # where the mouth is, nobody knows
        return "UNKNOWN", ""
    mouth = template().positions[60:68].mean(0)
    near = abs(effect.place[0]) < 0.3 and abs(effect.place[1] - mouth[1]) < 0.7
    length = float(np.linalg.norm(effect.way))
    if not near:
        return "WRONG", ""
    return ("RIGHT", "") if length > 1e-6 and effect.way[2] > 0.2 * length else ("DOUBT", "")


def _before(effect: Effect) -> bool:
    """Whether what moves is no skin."""
    return effect.skin is not None and float(np.linalg.norm(effect.skin, axis=1).max()) < _BEFORE * effect.reach


def _part(channel: str, effect: Effect) -> tuple[Kind, str]:
    """Whether a part that lies before the skin goes where a channel's skin would go."""
    length = float(np.linalg.norm(effect.way))
    if length < _MEANT * effect.reach:  # its sides go different ways
        return "UNKNOWN", ""
    fitting = [(c, float(effect.way @ way)) for c, at, way in ways() if near(effect.place, at)]
    own = max((cosine for c, cosine in fitting if c == channel), default=None)
    if own is None:
        return "WRONG", max(fitting, key=lambda found: found[1], default=("", 0.0))[0]
    return ("RIGHT" if own >= _SAME_WAY * length else "DOUBT"), ""


def _swaps(
    alike: MappingABC[str, MappingABC[str, float]], seems: MappingABC[str, str]
) -> list[tuple[str, str]]:  # fmt: skip
    """Pairs of channels that would explain each other's effects better than their own.

    Args:
        alike: channel -> cosine of what it does with every channel (`likeness`).
        seems: channels that do something else -> what: its pair needs to be no more than likelier.
    """
    channels = [c for c, row in alike.items() if c in row]
    pairs = []
    for i, one in enumerate(channels):
        for other in channels[i + 1 :]:
            own = unexplained(alike[one][one]) + unexplained(alike[other][other])
            crossed = unexplained(alike[one][other]) + unexplained(alike[other][one])
            known = other == seems.get(one) or one == seems.get(other)
            likelier = alike[one][other] > alike[one][one] and alike[other][one] > alike[other][other]
            if crossed < _SWAPPED * own or (known and likelier):
                pairs.append((crossed - own, one, other))
    taken: set[str] = set()
    found = []
    for _, one, other in sorted(pairs):
        if one not in taken and other not in taken:
            taken |= {one, other}
            found.append((one, other))
    return found


def _copies(effects: MappingABC[str, Effect]) -> list[tuple[str, str]]:
    """Pairs of channels of other names that do the same: both sides of a key that has none are no such pair."""
    fields = {c: e.skin.ravel() for c, e in effects.items() if e.skin is not None and e.reach >= STILL}
    names = [c for c, field in fields.items() if field.any()]
    if not names:
        return []
    units = np.stack([fields[c] / np.linalg.norm(fields[c]) for c in names])
    same = np.argwhere(np.triu(units @ units.T, 1) > _SAME)
    return [(names[i], names[j]) for i, j in same if names[j] != other_side(names[i])]


def _uneven(effects: MappingABC[str, Effect]) -> list[tuple[str, str]]:
    """Pairs of a left and a right channel whose skin does not move as in a mirror; one of the middle with itself."""
    found = []
    for one in effects:
        if not (one.endswith("Left") or (other_side(one) == one and one in ARKIT_CHANNELS)):
            continue
        here, there = _sides(effects, one)
        if here is None or there is None:
            continue
        alike, farther = _evenness(here, there)
        # What is left when both go as far: that one goes farther is no other action.
        times = float(np.linalg.norm(here)) / max(float(np.linalg.norm(there)), 1e-12)
        left = here - times * there
        more = farther >= 1 and ((alike < _ALL_BUT and held(left)) or _added(effects, one, left))
        if alike < _MIRRORED or farther > _AS_FAR or more:
            found.append((one, other_side(one)))
    return found


def _added(effects: MappingABC[str, Effect], channel: str, left: Floats) -> bool:
    """Whether what is left between a channel's two sides is another channel of this face, about as far as that goes."""
    if channel in LOOKS or np.linalg.norm(left, axis=1).max() < SEEN:  # lids of a look go with it as they may
        return False
    middle = other_side(channel) == channel  # what it holds is missing from its mirror image
    for other in effects.keys() - {channel, other_side(channel), *HEAD_CHANNELS, *LOOKS}:
        skin, mirrored = effects[other].skin, effects[other].mirrored
        if skin is None or mirrored is None or (middle and other_side(other) == other):
            continue
        for shape in (skin - mirrored,) if middle else (skin, mirrored):
            squared, both = float((shape**2).sum()), abs(float((shape * left).sum()))
            as_far = both / max(squared, 1e-12)
            if 1 / _AS_ADDED < as_far < _AS_ADDED and both * as_far > _ADDED * float((left**2).sum()):
                return True
    return False


def _one_sided(channel: str, effect: Effect) -> bool:
    """Whether a movement is of both sides, or of the other one, though its channel is not; or of one, though it is."""
    if channel == "tongueOut":
        return abs(float(effect.place[0])) > _ASIDE
    if effect.skin is None or np.linalg.norm(effect.skin, axis=1).max() < SEEN / 2:
        return False
    if other_side(channel) != channel and channel not in TO_A_SIDE:
        return _of_both_sides(effect)
    squared, across = (effect.skin**2).sum(1), template().positions[:, 0]
    less, more = sorted(float(squared[half].sum()) for half in (across > STILL, across < -STILL))
    return channel in ARKIT_CHANNELS and less < _ONE_SIDE * more


def _of_both_sides(effect: Effect) -> bool:
    """Whether a movement is its own mirror image."""
    if effect.skin is None or effect.mirrored is None:
        return False
    return float((effect.skin * effect.mirrored).sum()) > _BOTH_SIDES * float((effect.skin**2).sum())


def _parted(skin: Floats | None) -> float:
    """How far a movement takes the lips apart, in eye distances; 0 where that is not known."""
    if skin is None:
        return 0.0
    return float((skin[list(_UPPER_LIP)] - skin[list(_LOWER_LIP)])[:, 1].mean())


def _sides(effects: MappingABC[str, Effect], channel: str) -> tuple[Floats | None, Floats | None]:
    """What a channel does to the skin, and its other side as in a mirror; None where that is not known."""
    here, there = effects.get(channel), effects.get(other_side(channel))
    return (here.skin if here else None), (there.mirrored if there else None)


def _evenness(here: Floats | None, there: Floats | None) -> tuple[float, float]:
    """Cosine of two movements, and how many times farther the one goes than the other; NaN where they are not both seen
    to move.
    """
    if here is None or there is None or max(np.linalg.norm(side, axis=1).max() for side in (here, there)) < SEEN:
        return float("nan"), float("nan")
    short, long = sorted((float(np.linalg.norm(here)), float(np.linalg.norm(there))))
    return float((here * there).sum()) / max(short * long, 1e-12), long / max(short, 1e-12)


def _unevenness(effects: MappingABC[str, Effect], channel: str) -> float:
    """The squared difference of a channel and the mirror image of its other side, over the sum of their squares."""
    alike, farther = _evenness(*_sides(effects, channel))
    return 1.0 - 2.0 * alike * farther / (1.0 + farther**2)


def shown_by(channel: str, effects: MappingABC[str, Effect]) -> str:
    """Which of these effects is a channel's, by name; "" where none surely is."""
    found: dict[str, float] = {}
    for name, effect in effects.items():
        if effect.reach < STILL:
            continue
        if looks := _looks(effect):
            if channel in (looks[0], *([_together(looks[0])] if len(looks) > 1 else [])):
                found[name] = 1.0
        elif effect.skin is not None:
            alike = likeness(effect.skin)
            if alike.get(channel, 0.0) > max(_SURELY, alike[likeliest(alike)] - 0.02):
                found[name] = alike[channel]
    return max(found, key=lambda name: found[name], default="")
