# SPDX-License-Identifier: GPL-3.0-or-later
"""What one redraw of the sidebar costs: polls, panels and lists of a scene with many takes, drawn into nothing.

    python -m benchmarks.redraw

Blender's own drawing is not measured. `Layout` stands in for a layout: like Blender it asks the poll of every operator
that gets a button, reads every property that is shown, filters whole lists and draws the rows that are seen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import bpy

TEXT: Final = "I never asked for any of this"


class Layout:
    """A layout that writes down what was drawn into it: labels, buttons and values in `drawn`."""

    def __init__(self, drawn: list[str] | None = None) -> None:
        self.__dict__["drawn"] = [] if drawn is None else drawn

    def __setattr__(self, name: str, value: object) -> None:
        """Alignment, scale and the like change nothing here."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in {"row", "column", "box", "split", "grid_flow", "column_flow"}:
            return lambda **_: Layout(self.drawn)
        if name in {"separator", "separator_spacer"}:
            return lambda **_: None
        raise AttributeError(name)

    def label(self, text: str = "", icon: str = "NONE", **_: object) -> None:
        """Blender refuses icons that it does not have."""
        assert icon in _icons(), icon
        self.drawn.append(text)

    def prop(self, data: Any, name: str, text: str | None = None, icon: str = "NONE", **_: object) -> None:
        """The value is read, as Blender reads it to draw it."""
        assert icon in _icons(), icon
        self.drawn.append(f"{name} = {getattr(data, name)}")

    def textbox(self, data: Any, name: str, **_: object) -> None:
        """See `prop`."""
        self.prop(data, name)

    def prop_search(self, data: Any, name: str, where: Any, names: str, **_: object) -> None:
        """See `prop`."""
        getattr(where, names)
        self.prop(data, name)

    def prop_enum(self, data: Any, name: str, value: str, **_: object) -> None:
        """See `prop`."""
        self.prop(data, name)

    def operator(self, name: str, text: str | None = None, icon: str = "NONE", **_: object) -> SimpleNamespace:
        """The operator's poll is asked."""
        assert icon in _icons(), icon
        group, short = name.split(".")
        can = getattr(getattr(bpy.ops, group), short).poll()
        self.drawn.append(f"[{name if text is None else text}{'' if can else ' (grey)'}]")
        return SimpleNamespace()

    def menu(self, name: str, **_: object) -> None:
        """A button that opens a menu."""
        assert hasattr(bpy.types, name)

    def popover(self, name: str, **_: object) -> None:
        """A button that opens a panel, whose poll is asked."""
        _polled(getattr(bpy.types, name))

    def operator_menu_enum(self, name: str, _property: str, text: str | None = None, icon: str = "NONE") -> Any:
        """See `operator`."""
        return self.operator(name, text, icon)

    def template_ID(self, data: Any, name: str, **_: object) -> None:  # noqa: N802 - Blender's name
        """See `prop`."""
        self.prop(data, name)

    def template_icon(self, icon_value: int, scale: float = 1.0) -> None:
        """A picture."""
        self.drawn.append(f"picture {icon_value}")

    def template_list(
        self, kind: str, _id: str, data: Any, name: str, active: Any, active_name: str, rows: int = 5, **_: object
    ) -> None:
        """The whole list is filtered, its rows that are seen are drawn."""
        items, at = getattr(data, name), getattr(active, active_name)
        drawer, shown = getattr(bpy.types, kind), list(range(len(items)))
        ui = SimpleNamespace(filter_name="", bitflag_filter_item=1 << 30, use_filter_sort_alpha=False)
        ui.use_filter_invert = ui.use_filter_show = ui.use_filter_sort_reverse = False
        if hasattr(drawer, "filter_items"):
            flags, order = drawer.filter_items(ui, bpy.context, data, name)
            if flags:
                shown = [index for index in shown if flags[index]]
            if order:
                shown.sort(key=lambda index: order[index])
        self.drawn.append(f"{kind}: {len(shown)} rows, active {at}")
        for index in shown[:rows]:
            drawer.draw_item(ui, bpy.context, Layout(self.drawn), data, items[index], 0, active, active_name, index, 0)

    def progress(self, **_: object) -> None:
        """A bar."""


def redraw(tab: list[Any] | None = None) -> list[str]:
    """Draw all panels of our tab, closed ones too, and what was drawn."""
    drawn: list[str] = []
    for panel in panels() if tab is None else tab:
        if _polled(panel):
            panel.draw(SimpleNamespace(layout=Layout(drawn), is_popover=False), bpy.context)
    return drawn


def panels() -> list[Any]:
    """The panels of our tab."""
    return [
        panel
        for panel in bpy.types.Panel.__subclasses__()
        if panel.__name__.startswith("CTEG_PT_") and hasattr(panel, "bl_category")
    ]


def milliseconds(act: Callable[..., object], *arguments: object, times: int = 30) -> float:
    """Processor time of the fastest of some calls: what else the machine does counts little."""
    best = float("inf")
    for _ in range(times):
        begin = time.process_time()
        act(*arguments)
        best = min(best, time.process_time() - begin)
    return 1e3 * best


@contextmanager
def counted(*functions: tuple[Any, str]) -> Iterator[dict[str, int]]:
    """How often functions, each as its owner and its name there, are called; wherever they were imported to."""
    counts: dict[str, int] = {}
    changed = []
    for owner, name in functions:
        original = getattr(owner, name)

        def call(*arguments: Any, _original: Any = original, _name: str = name, **named: Any) -> Any:
            counts[_name] += 1
            return _original(*arguments, **named)

        counts[name] = 0
        for module in [m for n, m in sys.modules.items() if n.startswith("blender_cteg") and m is not None]:
            for alias, value in list(vars(module).items()):
                if value is original:
                    changed.append((module, alias, original))
                    setattr(module, alias, call)
    try:
        yield counts
    finally:
        for module, alias, original in changed:
            setattr(module, alias, original)


def _polled(panel: Any) -> bool:
    return panel.poll(bpy.context) if hasattr(panel, "poll") else True


def _icons() -> frozenset[str]:
    global _known
    if not _known:
        _known = frozenset(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())
    return _known


_known: frozenset[str] = frozenset()


def main() -> None:
    """Print what a redraw costs where a character has many lines, among many objects."""
    import blender_cteg
    from blender_cteg import cast
    from blender_cteg.character.detection import detect
    from blender_cteg.performance import lines
    from tests.blender import characters, scenes

    blender_cteg.register()
    print("| lines | takes | other objects | ms a redraw | detection | lines read | ms a look |")
    print("|---|---|---|---|---|---|---|")
    for count, each, others in ((1, 1, 0), (12, 5, 0), (12, 5, 1500)):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        scene, mesh = bpy.context.scene, bpy.data.meshes.new("Prop")
        scene.cteg.target = characters.arkit_character()
        for index in range(others):
            scene.collection.objects.link(bpy.data.objects.new(f"Prop {index}", mesh))
        for index in range(count):
            clips = [scenes.speaking_clip(121, seed) for seed in range(each)]
            known = cast.refresh(scene)
            made = lines.Lines(scene, known.rig, known.mapping)
            made.add(clips, 1 + 130 * index, lines.Style(), text=f"{TEXT}, {index}")
        cast.refresh(scene)
        redraw()
        with counted((detect, "detect_rig"), (lines, "lines_of")) as counts:
            took = milliseconds(redraw, panels())
        looked = f"{counts['detect_rig']} | {counts['lines_of']} | {milliseconds(cast.refresh, scene):.1f}"
        print(f"| {count} | {count * each} | {others} | {took:.2f} | {looked} |")
    blender_cteg.unregister()


if __name__ == "__main__":
    main()
