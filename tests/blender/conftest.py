# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender as a module, kept away from the user's own settings and files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

# Blender reads this when it is imported, which collecting the tests already does.
_RESOURCES = tempfile.TemporaryDirectory(prefix="cteg-tests-")
os.environ["BLENDER_USER_RESOURCES"] = _RESOURCES.name

import bpy  # noqa: E402
import pytest  # noqa: E402

import blender_cteg  # noqa: E402
from blender_cteg.worker import session  # noqa: E402
from blender_cteg.worker.client import WorkerClient  # noqa: E402
from tests.blender import scenes  # noqa: E402
from tests.blender.fake_worker import command  # noqa: E402


@pytest.fixture
def scene() -> bpy.types.Scene:
    """See `scenes.empty`."""
    return scenes.empty()


@pytest.fixture
def stage(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    """`scene` with the extension registered."""
    blender_cteg.register()
    yield scene
    blender_cteg.unregister()
    assert session._client is None


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    """A client of the scripted generator."""
    client = WorkerClient(command(), cancel_grace=0.5)
    yield client
    client.close()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripted generator (`fake_worker`) is what starts behind the door."""
    monkeypatch.setattr(session, "command", lambda _python: command())
    yield
    session.close()


@pytest.fixture
def scripted(door: None, stage: bpy.types.Scene) -> bpy.types.Scene:
    """`stage`, with the scripted generator behind the door."""
    return stage


@pytest.fixture(scope="module")
def generator() -> Iterator[None]:
    """The extension registered once for a module, with the generator itself behind the door: it takes long to start."""
    with pytest.MonkeyPatch.context() as patch:
        # Another Python where the one with bpy has no torch.
        patch.setenv("CTEG_PYTHON", os.environ.get("CTEG_PYTHON") or sys.executable)
        blender_cteg.register()
        yield
        blender_cteg.unregister()
