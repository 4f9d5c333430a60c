# SPDX-License-Identifier: GPL-3.0-or-later
"""From a typed line to keyframes, nothing replaced: the built zip, real bpy, the real generator, the bundled weights.

What Blender plays is compared with what `python -m generator say` writes for the same line and seed, through the
mapping stored in the baked head, so neither the door nor the extension's mapping code is trusted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

LINE = "You kept it? After all these years!"
SEED = 11

PERFORM = """
import sys, bpy
zip_path, line, seed, blend = sys.argv[1:]
done = bpy.ops.extensions.package_install_files(repo="user_default", filepath=zip_path, enable_on_install=True)
assert done == {"FINISHED"}
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = 24, 1.0
scene.frame_set(1)
assert bpy.ops.cteg.add_head() == {"FINISHED"}
at_rest = [key.value for key in scene.cteg.target.data.shape_keys.key_blocks[1:]]
assert not any(at_rest), "the head is added with a grimace"
scene.cteg.text, scene.cteg.takes, scene.cteg.seed, scene.cteg.emotion = line, 2, int(seed), "joy"
# Everything else the panel can ask for.
scene.cteg.emotion_with, scene.cteg.share, scene.cteg.emotion_to = "surprise", 0.3, "pride"
scene.cteg.energy, scene.cteg.rate, scene.cteg.intensity = 1.2, 0.9, 0.8
scene.cteg.reduction, scene.cteg.blend = 0.0, 0
assert bpy.ops.cteg.perform() == {"FINISHED"}
assert "torch" not in sys.modules
from bl_ext.user_default.cteg import cast
(line,) = cast.character(scene).lines
for number, take in enumerate(line.takes):
    bpy.ops.cteg.show_take(take=number)
    bpy.ops.wm.save_as_mainfile(filepath=blend.replace(".blend", f"{take.seed}.blend"))
"""

#: Opens the files in a new process without the extension: what was written must play in anyone's Blender.
PLAY = """
import sys, bpy
from pathlib import Path
import numpy as np
folder, out = sys.argv[1:]
played = {}
for blend in Path(folder).glob("scene*.blend"):
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene, seed = bpy.context.scene, int(blend.stem.removeprefix("scene"))
    face = next(thing for thing in scene.objects if thing.type == "MESH")
    (action,) = bpy.data.actions
    first, last = (int(frame) for frame in action.frame_range)
    assert first == 1
    keys, jaw, neck = [], [], []
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        evaluated = face.evaluated_get(depsgraph).data.shape_keys or face.data.shape_keys
        keys.append([evaluated.key_blocks[f"Exp{k}"].value for k in range(1, 51)])
        bones = face.parent.evaluated_get(depsgraph).pose.bones
        jaw.append(bones["jaw"].matrix_basis.to_quaternion().angle)
        neck.append(bones["neck"].matrix_basis.to_quaternion().angle)
    played |= {f"keys{seed}": keys, f"jaw{seed}": jaw, f"neck{seed}": neck}
np.savez(out, **{name: np.array(values) for name, values in played.items()})
"""


def run(command: list[str | Path], cwd: Path, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_what_blender_plays_is_what_the_generator_said(package: Path, root: Path, tmp_path: Path) -> None:
    resources, blend = tmp_path / "resources", tmp_path / "scene.blend"
    resources.mkdir()
    said, played = tmp_path / "said.npz", tmp_path / "played.npz"
    python = sys.executable
    run(
        [python, "-c", PERFORM, package, LINE, str(SEED), blend],
        tmp_path, BLENDER_USER_RESOURCES=str(resources), CTEG_PYTHON=python,
    )  # fmt: skip
    run(
        [python, "-m", "generator", "say", LINE, "--takes", "2", "--seed", str(SEED), "--emotion", "joy", "--spread",
         "--emotion-with", "surprise", "--share", "0.3", "--emotion-to", "pride", "--energy", "1.2", "--rate", "0.9",
         "--intensity", "0.8", "-o", said],
        root,
    )  # fmt: skip
    run([python, "-c", PLAY, tmp_path, played], tmp_path, BLENDER_USER_RESOURCES=str(tmp_path / "none"))

    head = np.load(root / "blender_cteg" / "heads" / "demo_head" / "head.npz", allow_pickle=False)
    clips, play = np.load(said, allow_pickle=False), np.load(played, allow_pickle=False)
    seeds = clips["seeds"].tolist()  # the panel asks for the most different takes of a larger draw
    assert seeds[0] == SEED and len(seeds) == 2 and SEED < seeds[1] < SEED + 8
    assert clips["channels"].tolist()[:52] == head["arkit_channels"].tolist()
    for number, seed in enumerate(seeds):
        clip = clips["values"][number, : clips["lengths"][number]]
        inside = slice(1, -1)  # a line leaves from what is there on its first frame, and is back on its last
        exps = (clip[:, :52] @ head["arkit_to_exp"])[inside]
        np.testing.assert_allclose(play[f"keys{seed}"][inside], exps, atol=5e-3)  # takes are kept in half precision
        jaw = np.linalg.norm(clip[:, :52] @ head["arkit_to_jaw"], axis=1)[inside]
        np.testing.assert_allclose(play[f"jaw{seed}"][inside], jaw, atol=2e-3)
        assert play[f"keys{seed}"].std(axis=0).max() > 0.1, "the face hardly moves"
        np.testing.assert_allclose(play[f"keys{seed}"][-1], 0.0, atol=0.2)  # it ends at the standard face
    common = min(clips["lengths"])
    first, second = (play[f"keys{seed}"][:common] for seed in seeds)
    assert np.abs(first - second).max() > 0.1, "takes are all alike"
