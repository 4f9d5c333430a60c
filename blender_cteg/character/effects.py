# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects: what a channel does to a face, and whether that is what its name says (numpy only).

A channel is compared with what the actions do on two faces of different artists (`fitting/actions.py`), at the same
few hundred places of the skin. Lengths are in distances between the eyes, axes are FLAME's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from ..arrays import Floats
from ..sentences import told
from ..shared import ARKIT_CHANNELS, HEAD_CHANNELS
from .direct import EYE_TURNS
from .fitting.actions import SOURCES, action_displacements, template

#: RIGHT: the right part moves the right way. WEAK: so it does, but hardly, or not as far as another one needs. PART:
#: the lids of a look move and its eye does not. STILL: nothing moves. WRONG: something else does. DOUBT: something like
#: it does, or more. UNEVEN: it is no mirror image of its other side, or of itself in the middle; or it is one at the
#: side. FAR: it goes much farther than on other faces. APART: another object, or an eye, does not go with the skin.
#: UNKNOWN: nobody can tell.
Kind = Literal["RIGHT", "WEAK", "PART", "STILL", "WRONG", "DOUBT", "UNEVEN", "FAR", "APART", "UNKNOWN"]

#: Less than this is no movement: a quarter of a millimetre on a face of ordinary size.
STILL: Final = 0.004
#: Skin that goes this far is seen to move.
_SEEN: Final = 0.03
#: Skin that goes less far than this can hardly be seen, where it is less than that share of what the action does on
#: either face.
_WEAK: Final = ((_SEEN, 0.25), (2 * _SEEN, 0.1))
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
#: Such a part is an action's where it is so near to what that moves, in eye distances, and its mean movement is no
#: smaller a share of its farthest and has this cosine at least.
_NEAR: Final = 0.35
_BEHIND: Final = 0.2
_MEANT: Final = 0.3
_SAME_WAY: Final = 0.5
#: Cosine from which on a key that nobody named so shows an action.
_SURELY: Final = 0.7
#: A movement holds an action where its cosine with that there times its share of it is this: on sound faces, what is
#: none of a channel's has 0.21 at most, and by what its sides differ 0.23.
_HELD: Final = 0.35
#: What goes so many times as far as an action is another movement.
_TOO_FAR: Final = 2.0
#: Where an action goes less than this share of what it does most, it does nothing; and another action has nothing to do
#: with it that leaves less there than such a share of its squares, or than such a one of its own.
_THERE: Final = 0.1
_FAR: Final = (0.005, 0.001)
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
#: times as far as where it is alone: on sound faces a quarter is another channel's at most.
_ADDED: Final = 0.5
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


@dataclass(frozen=True)
class Effect:
    """What one channel at full strength does.

    Attributes:
        reach: how far what moves most goes.
        skin: how the template's places move, shape (P, 3); None where they were not found.
        turns: part (``left_eye``, ``right_eye``, ``head``) -> rotation vector, radians; without what was not found.
        place: the middle of what moves, from between the eyes.
        way: the mean displacement there.
        mirrored: ``skin`` as a mirror between the eyes shows it: how the other side of each place moves.
        led: the shape keys that drivers move with it.
        apart: the other objects that do not go with the skin beside them.
        shifts: eye -> how far its middle goes.
    """

    reach: float
    skin: Floats | None = None
    turns: MappingABC[str, Floats] = field(default_factory=dict)
    place: Floats = field(default_factory=lambda: np.zeros(3))
    way: Floats = field(default_factory=lambda: np.zeros(3))
    mirrored: Floats | None = None
    led: frozenset[str] = frozenset()
    apart: tuple[str, ...] = ()
    shifts: MappingABC[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Whether a channel does what its name says.

    Attributes:
        kind: see `Kind`.
        seems: what it does instead, or as well: a channel; ``-CHANNEL`` for the opposite of one; "" where nobody knows.
            Where it is APART, the object, or the role of the eye, that is.
        swapped: whether that channel does what this one should do.
        reach: how far what moves most goes, in eye distances.
        alike: cosine with what it should do; NaN where it was not compared.
    """

    kind: Kind
    seems: str = ""
    swapped: bool = False
    reach: float = 0.0
    alike: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether the channel counts as found."""
        return self.kind not in ("STILL", "WRONG")


def other_side(channel: str) -> str:
    """The same channel of the other side; itself without one."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if channel.endswith(side):
            return channel.removesuffix(side) + other
    return channel


def verdicts(
    effects: MappingABC[str, Effect], joined: MappingABC[str, Collection[str]] = MappingProxyType({})
) -> dict[str, Verdict]:
    """What is to be thought of each channel of arkit55 that moves something.

    Two sides that are no mirror images of each other are doubted together.

    Args:
        effects: channel -> what its targets do together.
        joined: channel -> those that share a target with it, and so may move with it.
    """
    alike = {channel: _likeness(effect.skin) for channel, effect in effects.items() if effect.skin is not None}
    found = {
        channel: _verdict(channel, effect, alike.get(channel), joined.get(channel, ()))
        for channel, effect in effects.items()
    }
    seems = {c: verdict.seems for c, verdict in found.items() if verdict.kind == "WRONG"}
    for one, other in _swaps({c: r for c, r in alike.items() if found[c].kind not in ("STILL", "UNKNOWN")}, seems):
        for channel, instead in ((one, other), (other, one)):
            before = found[channel]
            found[channel] = Verdict("WRONG", instead, True, before.reach, before.alike)
    for one, other in _copies(effects):  # of two that do the same, the one it is meant for, or neither
        if other in joined.get(one, ()):  # as a key by which both eyes look to a side
            continue
        # What the other sides do says more than what it is like: faces are drawn in many ways. Liars say nothing.
        lying = {c for c in (one, other) if other_side(c) in found and found[other_side(c)].kind == "WRONG"}
        uneven = {c: float("nan") if c in lying else _unevenness(effects, c) for c in (one, other)}
        sided = min(uneven.values()) < _OTHER * max(uneven.values())
        for channel, instead in ((one, other), (other, one)):
            seen, twin = found[channel], found[instead]
            less = uneven[instead] < uneven[channel] if sided else seen.alike < twin.alike - 1e-3
            if seen.kind == "RIGHT" and less:
                found[channel] = Verdict("WRONG", instead, False, seen.reach, seen.alike)
            elif seen.kind == "RIGHT" and twin.swapped and seen.alike < alike[channel][twin.seems] - 1e-3:
                found[channel] = Verdict("WRONG", twin.seems, False, seen.reach, seen.alike)
    for one, other in _uneven(effects):
        for channel, instead in ((one, other), (other, one)):
            before, twin = found[channel], found[instead]
            if before.kind == "RIGHT" and (twin.kind == "RIGHT" or twin.seems == channel):
                found[channel] = Verdict("UNEVEN", instead, False, before.reach, before.alike)
    for channel, effect in effects.items():
        before, alone = found[channel], {other_side(channel), _together(channel)}.isdisjoint(joined.get(channel, ()))
        if alone and before.kind == "RIGHT" and _lopsided(channel, effect):
            found[channel] = Verdict("UNEVEN", channel, False, before.reach, before.alike)
    parted = {c: _parted(effects[c].skin) for c in ("jawOpen", "mouthClose") if c in found and found[c].kind == "RIGHT"}
    if len(parted) == 2 and -parted["mouthClose"] < _CLOSES * min(parted["jawOpen"], _OPEN):
        before = found["mouthClose"]
        found["mouthClose"] = Verdict("WEAK", "jawOpen", False, before.reach, before.alike)
    likeliest = {channel: _likeliest(row) for channel, row in alike.items() if row.get(channel)}
    # Two that are crossed, one of the middle, for which no side speaks, or one that no key is called.
    for channel, best in likeliest.items():
        before, called = found[channel], found.get(best)
        lies = called is not None and called.kind == "WRONG" and other_side(channel) == channel
        lost = called is None and alike[channel][best] > alike[channel][channel] + _DRAWN
        if channel in _LOOKS:  # the eye shows it, and lids may do as they like
            continue
        if before.kind == "RIGHT" and best != channel and (lies or lost or likeliest.get(best) == channel):
            found[channel] = Verdict("DOUBT", best, False, before.reach, before.alike)
    farther = _farther(effects)
    for channel, effect in effects.items():
        if found[channel].kind == "RIGHT" and (more := _beside(channel, effect)):
            found[channel] = replace(found[channel], kind="APART", seems=more)
        most = _TURNED_FARTHER if channel in _LOOKS else _FARTHER
        if found[channel].kind == "RIGHT" and farther.get(channel, 0.0) > most:
            found[channel] = replace(found[channel], kind="FAR")
    return found


def _beside(channel: str, effect: Effect) -> str:
    """What a channel should take along with the skin, or leave where it is, and does not; "" without such a thing."""
    if channel in HEAD_CHANNELS or channel == "tongueOut":
        return ""
    shifted = [role for role, shift in effect.shifts.items() if shift > _OUT_OF_PLACE]
    return next(iter(shifted or (() if channel in _LOOKS else effect.apart)), "")


def _farther(effects: MappingABC[str, Effect]) -> dict[str, float]:
    """How many times as far a channel's skin goes as on either face, and as those of this face do on the whole."""
    times: dict[str, float] = {}
    looks: dict[str, float] = {}
    for channel, effect in effects.items():
        for role, turns in EYE_TURNS.items():
            if channel in turns and role in effect.turns:
                looks[channel] = float(np.linalg.norm(effect.turns[role]) / np.linalg.norm(turns[channel]))
        there = [float(np.linalg.norm(moves[channel], axis=1).max()) for moves in _actions() if channel in moves]
        if there and effect.skin is not None and channel not in _LOOKS:
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
        return says(*_turned(channel, effect.turns.get("head"), _HEAD[channel], HEAD_CHANNELS))
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
            best = _likeliest(alike)
            if alike[best] > 2 * max(own, _ALIKE):
                return says("WRONG", best)
            if own < _UNLIKE and float(np.linalg.norm(effect.skin, axis=1).max()) > _SEEN:
                return says("WRONG")
            likelier = best not in _LOOKS and _left(alike[best]) < _OTHER * _left(own)
            if more := best if likelier else _held(effect.skin, channel, *joined):
                return says("DOUBT", more)
        return says("RIGHT" if looks else "PART")
    if looks and channel != "tongueOut":
        return says("WRONG", looks[0])
    if channel == "tongueOut":
        best = _likeliest(alike) if alike and not _before(effect) else ""
        if alike and best and alike[best] > _SURELY:  # it is skin
            return says("WRONG", best)
        return says(*_tongue(effect))
    if alike is None or effect.skin is None or channel not in alike:
        return says("UNKNOWN")
    best, opposite = _likeliest(alike), max((c for c in alike if c.startswith("-")), key=lambda c: alike[c])
    if own < -_ALIKE and -own > alike[best] - 0.2:
        return says("WRONG", f"-{channel}")
    if own < _UNLIKE or (own < _ALIKE and alike[best] > own + 0.15):
        return says("WRONG", best if alike[best] > 1.5 * _ALIKE else "")
    if own < _ALIKE or (own < _AGREE and alike[best] > own + 0.15):
        return says("DOUBT")
    if best != channel and _left(alike[best]) < _OTHER * _left(own):
        return says("WRONG", best)
    if _left(alike[opposite]) < _OPPOSITE * _left(own):
        return says("DOUBT", opposite)
    size, most = float(np.linalg.norm(effect.skin)), float(np.linalg.norm(effect.skin, axis=1).max())
    least = min(float(np.linalg.norm(moves[channel])) for moves in _actions() if channel in moves)
    if any(most < far and size < share * least for far, share in _WEAK):
        return says("WEAK")
    if channel in _TO_A_SIDE and _of_both_sides(effect):
        return says("DOUBT", other_side(channel))
    if more := _held(effect.skin, channel, *joined):
        return says("DOUBT", more)
    return says("RIGHT")


_LOOKS: Final = frozenset(channel for turns in EYE_TURNS.values() for channel in turns)
#: What moves all of a mouth or jaw to a side.
_TO_A_SIDE: Final = frozenset({"jawLeft", "jawRight", "mouthLeft", "mouthRight"})
_HEAD: Final = dict(zip(HEAD_CHANNELS, np.eye(3), strict=True))


def _turned(channel: str, turn: Floats | None, wanted: Floats, others: tuple[str, ...]) -> tuple[Kind, str]:
    """Whether a head that should turn about ``wanted`` does."""
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
    fitting = [(c, float(effect.way @ way)) for c, at, way in _ways() if _near(effect.place, at)]
    own = max((cosine for c, cosine in fitting if c == channel), default=None)
    if own is None:
        return "WRONG", max(fitting, key=lambda found: found[1], default=("", 0.0))[0]
    return ("RIGHT" if own >= _SAME_WAY * length else "DOUBT"), ""


def _near(place: Floats, other: Floats) -> bool:
    apart = place - other  # how far before the skin it lies says nothing; what lies behind it is a tongue, or teeth
    return float(np.linalg.norm(apart[:2])) < _NEAR and bool(apart[2] > -_BEHIND)


@cache
def _ways() -> tuple[tuple[str, Floats, Floats], ...]:
    """Channels with the middle of what they move, from between the eyes, and which way that goes, of length 1: each by
    itself, and as a key that joins both sides would move it.
    """
    found, places, moves = [], template().positions, _actions()[0]
    for channel, own in moves.items():
        for moved in (own, own + moves[other_side(channel)]) if other_side(channel) != channel else (own,):
            squared = (moved**2).sum(1)
            way = squared @ moved
            if way.any():
                at = squared @ places / squared.sum() - places[36:48].mean(0)
                found.append((channel, at, way / np.linalg.norm(way)))
    return tuple(found)


def _left(cosine: float) -> float:
    """How much of a movement one at this cosine to it leaves unexplained, 0..1."""
    return 1.0 - max(cosine, 0.0) ** 2


def _swaps(
    alike: MappingABC[str, MappingABC[str, float]], seems: MappingABC[str, str]
) -> list[tuple[str, str]]:  # fmt: skip
    """Pairs of channels that would explain each other's effects better than their own.

    Args:
        alike: channel -> cosine of what it does with every channel (`_likeness`).
        seems: channels that do something else -> what: its pair needs to be no more than likelier.
    """
    channels = [c for c, row in alike.items() if c in row]
    pairs = []
    for i, one in enumerate(channels):
        for other in channels[i + 1 :]:
            own = _left(alike[one][one]) + _left(alike[other][other])
            crossed = _left(alike[one][other]) + _left(alike[other][one])
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
        more = farther >= 1 and ((alike < _ALL_BUT and _held(left)) or _added(effects, one, left))
        if alike < _MIRRORED or farther > _AS_FAR or more:
            found.append((one, other_side(one)))
    return found


def _added(effects: MappingABC[str, Effect], channel: str, left: Floats) -> bool:
    """Whether what is left between a channel's two sides is another channel of this face, about as far as that goes."""
    others = effects.keys() - {channel, other_side(channel), *HEAD_CHANNELS, *_LOOKS}
    if channel in _LOOKS or np.linalg.norm(left, axis=1).max() < _SEEN:  # lids of a look go with it as they may
        return False
    for effect in (effects[other] for other in others):
        if effect.skin is None or effect.mirrored is None:
            continue
        middle = other_side(channel) == channel  # what it holds is missing from its mirror image
        for shape in (effect.skin - effect.mirrored,) if middle else (effect.skin, effect.mirrored):
            squared, both = float((shape**2).sum()), abs(float((shape * left).sum()))
            as_far = both / max(squared, 1e-12)
            if 1 / _AS_ADDED < as_far < _AS_ADDED and both * as_far > _ADDED * float((left**2).sum()):
                return True
    return False


def _lopsided(channel: str, effect: Effect) -> bool:
    """Whether a movement is of both sides, or of the other one, though its channel is not; or of one, though it is."""
    if channel == "tongueOut":
        return abs(float(effect.place[0])) > _ASIDE
    if effect.skin is None or np.linalg.norm(effect.skin, axis=1).max() < _SEEN / 2:
        return False
    if other_side(channel) != channel and channel not in _TO_A_SIDE:
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
    if here is None or there is None or max(np.linalg.norm(side, axis=1).max() for side in (here, there)) < _SEEN:
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
            alike = _likeness(effect.skin)
            if alike.get(channel, 0.0) > max(_SURELY, alike[_likeliest(alike)] - 0.02):
                found[name] = alike[channel]
    return max(found, key=lambda name: found[name], default="")


def _likeness(field: Floats) -> dict[str, float]:
    """Cosine of a movement with each action and its opposite (``-CHANNEL``), on the more alike of the two faces."""
    names, table = _table()
    cosines = table @ (field.ravel() / max(float(np.linalg.norm(field)), 1e-9))
    either = dict(zip(names, cosines.max(0).tolist(), strict=True))
    return either | {f"-{name}": -least for name, least in zip(names, cosines.min(0).tolist(), strict=True)}


def explained(fields: Iterable[Floats]) -> float:
    """How much of movements of the skin, (P, 3) each, the action explains that each is most like, 0..1, as a mean; 0
    where nothing is seen to move.
    """
    seen = np.array([field.ravel() for field in fields if np.linalg.norm(field, axis=1).max() > _SEEN])
    if not len(seen):
        return 0.0
    cosines = _table()[1] @ (seen / np.linalg.norm(seen, axis=1, keepdims=True)).T
    return float((cosines.max((0, 1)) ** 2).mean())


def _likeliest(alike: MappingABC[str, float]) -> str:
    """The action that a movement is most like."""
    return max((channel for channel in alike if not channel.startswith("-")), key=lambda c: alike[c])


@cache
def _actions() -> tuple[MappingABC[str, Floats], ...]:
    return tuple(action_displacements(source) for source in SOURCES)


@cache
def _table() -> tuple[tuple[str, ...], Floats]:
    """The channels that move skin, and each as a unit vector on both faces, shape (2, C, 3 P)."""
    names = tuple(c for c in ARKIT_CHANNELS if all(c in moves for moves in _actions()))
    table = np.array([[moves[c].ravel() / np.linalg.norm(moves[c]) for c in names] for moves in _actions()])
    return names, table


@dataclass(frozen=True)
class _Parts:
    """Each action where it moves something.

    Attributes:
        moves: what it does there, on both faces, shape (C, 2, 3 P); nothing elsewhere.
        reach: how far what moves most goes, shape (C, 2).
        there: where that is, shape (C, P).
        far: of each action (row) those that move something else, shape (C, C).
    """

    moves: Floats
    reach: Floats
    there: Floats
    far: Floats


@cache
def _parts() -> _Parts:
    names, _ = _table()
    moves = np.array([[actions[c] for actions in _actions()] for c in names])
    squares = (moves**2).sum(3)
    there = (squares > _THERE**2 * squares.max(2, keepdims=True)).any(1)
    left, whole = np.einsum("csp,dp->cds", squares, there), squares.sum(2)
    far = (left < _FAR[0] * whole).all(2) | (left < _FAR[1] * whole[:, None]).all(2)
    moves = (moves * there[:, None, :, None]).reshape(*moves.shape[:2], -1)
    return _Parts(moves, np.sqrt(squares.max(2)), there, far)


def _held(field: Floats, *beside: str) -> str:
    """An action that is seen in a movement, either way, and has nothing to do with those ``beside``; "" without one."""
    parts, (names, _) = _parts(), _table()
    squares = (parts.moves**2).sum(2)
    times = np.abs(parts.moves @ field.ravel()) / squares
    alike = times * np.sqrt(squares) / np.maximum(np.sqrt(parts.there @ (field**2).sum(1)), 1e-12)[:, None]
    held = times * alike * (times * parts.reach > _SEEN) * (times < _TOO_FAR)
    held = held.max(1) * parts.far[[names.index(c) for c in beside if c in names]].all(0)
    return names[int(held.argmax())] if held.max() > _HELD else ""


def sentence(channel: str, verdict: Verdict) -> str:
    """What is wrong with a channel, for a list; "" where nothing is."""
    if verdict.kind in ("RIGHT", "UNKNOWN"):
        return ""
    if verdict.kind == "STILL":
        return told("{channel} moves nothing.", channel=channel)
    if verdict.kind == "WEAK" and verdict.seems:
        return told("{channel} closes little of what {seems} opens.", channel=channel, seems=verdict.seems)
    if verdict.kind == "WEAK":
        return told("{channel} hardly moves anything.", channel=channel)
    if verdict.kind == "FAR":
        return told("{channel} goes much farther than on other faces.", channel=channel)
    if verdict.kind == "APART" and verdict.seems in EYE_TURNS:
        return told("{channel} moves an eye out of its place.", channel=channel)
    if verdict.kind == "APART":
        return told("{channel} does not move {name} as it moves the skin there.", channel=channel, name=verdict.seems)
    if verdict.kind == "PART":
        return told("{channel} moves the lids, and the eye does not turn.", channel=channel)
    if verdict.kind == "UNEVEN":
        if verdict.seems == channel and other_side(channel) != channel and channel not in _TO_A_SIDE:
            return told("{channel} moves both sides of the face.", channel=channel)
        if verdict.seems == channel:
            return told("{channel} moves one side of the face more than the other.", channel=channel)
        one, other = sorted((channel, verdict.seems))  # both say it in the same words
        return told("{channel} does not mirror {other}.", channel=one, other=other)
    if verdict.kind == "DOUBT" and verdict.seems and not verdict.seems.startswith("-"):
        return told("{channel} moves what {seems} should move as well.", channel=channel, seems=verdict.seems)
    if not verdict.seems:
        return told("{channel} moves something else than its name says.", channel=channel)
    if verdict.seems.startswith("-"):
        if verdict.seems[1:] == channel:
            return told("{channel} goes the other way than its name says.", channel=channel)
        return told("{channel} does the opposite of {seems}.", channel=channel, seems=verdict.seems[1:])
    if verdict.swapped:
        one, other = sorted((channel, verdict.seems))
        return told("{channel} and {seems} are swapped.", channel=one, seems=other)
    if verdict.seems == other_side(channel):
        return told("{channel} moves the other side.", channel=channel)
    return told("{channel} moves like {seems}.", channel=channel, seems=verdict.seems)
