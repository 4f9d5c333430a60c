# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the pose sets that ship for faces made of bones: ``blender_cteg/character/data/presets/NAME.json``.

Run from the repository, with a baked demo head: ``.venv/bin/python -m benchmarks.pose_sets``. The demo head's skin is
laid over the rigs of `bone_faces`, the actions are fitted to it, and the moves are kept along the face's axes and in
distances between the eyes. What was changed by hand since is made anew, so name the sets to make.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import bpy

from benchmarks import any_face, bone_faces
from blender_cteg.character.detection.detect import detect_rig
from blender_cteg.character.fitting.fitted import fitted_bones
from blender_cteg.character.fitting.portable import for_other_faces
from blender_cteg.character.mapping import Mapping

PRESETS = Path("blender_cteg/character/data/presets")
#: Name of the file -> label, description, the rig, the places of its left eye and what carries that, its tongue.
SETS = {
    "rigify": (
        "Rigify", "Poses of the face that Rigify generates: lip.T.L, brow.B.R.002, jaw_master", bone_faces.rigify,
        "MCH-eye.L", "ORG-eye.L", ("DEF-tongue", "DEF-tongue.001", "DEF-tongue.002"),
    ),
    "auto_rig_pro": (
        "Auto-Rig Pro", "Poses of Auto-Rig Pro's face, its jaw moved and not turned: c_lips_smile.l, c_jawbone.x",
        lambda: bone_faces.auto_rig_pro(source=any_face.head()), "c_eye.l", "c_eye.l",
        ("c_tong_01.x", "c_tong_02.x", "c_tong_03.x"),
    ),
    "cloudrig": (
        "CloudRig", "Poses of a CloudRig face with controls for lips, lids and brows: STR-Lip_Upper0, STR-Brow01.L",
        lambda: bone_faces.cloudrig(any_face.head()), "DEF-Eye.L", "DEF-Eye.L", ("FK-Tongue1", "FK-Tongue2"),
    ),
}  # fmt: skip


def main() -> None:
    """Fit, turn and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=SETS)
    for name in parser.parse_args().names:
        label, description, make, at, carrying, tongue = SETS[name]
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        face = any_face.on_bones(make(), at, carrying)
        bone_faces.with_tongue(face, *tongue)
        mapping = for_other_faces(rig := detect_rig(face), fitted_bones(rig))
        path = PRESETS / f"{name}.json"
        path.write_text(written(replace(mapping, origin=f"preset:{label}"), label, description), encoding="utf-8")
        print(path, path.stat().st_size // 1024, "kB,", len(mapping.controls), "bones,", len(mapping.driving()))


def written(mapping: Mapping, label: str, description: str) -> str:
    """A preset as people read it: a line for every bone and channel."""
    data = json.loads(mapping.to_json())
    bones = data.pop("controls")
    data = {"schema_version": data.pop("schema_version"), "label": label, "description": description, **data}
    head = json.dumps({name: value for name, value in data.items() if value not in ({}, [])}, indent=2)
    rows = ",\n".join(f"    {json.dumps(bone)}: {_listed(row)}" for bone, row in sorted(bones.items()))
    return f'{head[:-2]},\n  "controls": {{\n{rows}\n  }}\n}}\n'


def _listed(row: dict[str, list[dict[str, object]]]) -> str:
    return "{\n" + ",\n".join(f"      {json.dumps(c)}: {json.dumps(moves)}" for c, moves in row.items()) + "\n    }"


if __name__ == "__main__":
    main()
