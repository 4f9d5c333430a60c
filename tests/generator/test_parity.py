# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's CTEG: equal to recorded vectors, and every quirk of the release has its switch."""

from __future__ import annotations

import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import norm

from generator.evaluation.perplexity import box_log_probability, corner_probability, cppl, cppl_box
from generator.model.distributions import Gaussian
from generator.paper.batches import Marker, PaperBatch, collate
from generator.paper.config import REFERENCE_QUIRKS, PaperConfig
from generator.paper.model import PaperCTEG, PaperOutput
from generator.paper.released.names import from_released_state, our_name, released_text_encoder
from generator.training.paper_objective import losses
from tests.generator.paper_model import SMALL, make_clips, make_model, make_text
from tests.parity import __main__ as command
from tests.parity.checks import check_folder
from tests.parity.folder import Folder, Replay
from tests.parity.make import DATA

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "parity"
SIZES = {f.name: getattr(SMALL, f.name) for f in fields(SMALL) if f.name not in REFERENCE_QUIRKS}
SETTINGS = {
    "d_model": 16, "n_head": 2, "d_k": 8, "d_v": 8, "d_inner_hid": 20, "n_layers": 1, "trg_exp_dim": 7,
    "exp_only_dim": 5, "trg_len": 14, "src_len": 6, "dropout": 0.1, "scale_emb": True, "cvae": True,
    "flat_method": "casual_attention", "second_sample": "one", "one_step_loss": True, "feature_attention": True,
    "encoder_pretrained": "BertModel",
}  # fmt: skip


# Equal to what was recorded --------------------------------------------------------------------------------------


def test_our_model_computes_the_written_down_formulas() -> None:
    results = list(check_folder(Folder(DATA)))
    assert [r for r in results if not r.passed] == []
    assert len(results) > 300


@pytest.mark.skipif(not RECORDED.is_dir(), reason="needs ../shared/parity, vectors of the released implementation")
def test_our_model_equals_the_released_implementation() -> None:
    results = list(check_folder(Folder(RECORDED)))
    assert [r for r in results if not r.passed] == []
    # Batches, both depths in every mode, gradients, optimiser steps, checkpoint: nothing may drop out of the table.
    assert len(results) >= 359


def test_the_command_says_which_array_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["parity", str(tmp_path)])
    assert command.main() == 2
    assert "no recorded vectors" in capsys.readouterr().err
    for name in ("config_l1.json", "vocab.txt", "batch.safetensors", "state_l1.safetensors", "ewa_l1.safetensors"):
        shutil.copy(DATA / name, tmp_path)
    assert command.main() == 0
    state = load_file(tmp_path / "state_l1.safetensors")
    state["decoder.fea_proj_reverse.bias"] += 1e-4
    save_file(state, tmp_path / "state_l1.safetensors")
    capsys.readouterr()
    assert command.main() == 1
    table = capsys.readouterr().out
    assert "ewa_l1 shift_whole" in table and "FAIL" in table and "batch tgt_exp " in table


# Quirks ----------------------------------------------------------------------------------------------------------


def scored(config: PaperConfig, batch: PaperBatch) -> list[float]:
    """Losses with the same noise at the same position, however far the batch is padded."""
    model, (memory, mask) = make_model(config), make_text()
    rng = torch.Generator().manual_seed(9)
    draws = {name: torch.randn(2, 20, config.d_model, generator=rng) for name in "abc"}
    positions = batch.frames.shape[1]
    cut = {n: d[:, : positions - 1 if n != "c" else positions] for n, d in draws.items()}
    if not config.second_sample:
        del cut["c"]
    terms = losses(model(batch, memory, mask, "recognition", Replay(cut)), batch, config)
    return [terms.kl.item(), terms.reconstruction.item(), terms.guided.item()]


def test_the_corrected_objective_does_not_depend_on_padding_and_the_released_one_does() -> None:
    clips, mean = make_clips(6, 3)
    tight, wide = (collate(clips, mean, replace(SMALL, pad_clips=pad)) for pad in (False, True))
    assert (tight.frames.shape[1], wide.frames.shape[1]) == (9, 13)
    assert scored(SMALL, tight) == pytest.approx(scored(SMALL, wide), abs=1e-5)
    for quirk in ("kl_over_padding", "ewa"):
        config = replace(SMALL, **{quirk: REFERENCE_QUIRKS[quirk]})
        assert scored(config, tight)[0] != pytest.approx(scored(config, wide)[0], abs=1e-4), quirk


def test_the_kl_term_counts_each_position_that_has_a_target_once() -> None:
    clips, mean = make_clips(2, 5)
    batch = collate(clips, mean, replace(SMALL, pad_clips=True))
    zero = torch.zeros(2, 12, SMALL.d_model)
    shifted = zero + torch.arange(12.0)[:, None].sqrt()  # KL of N(m, 1) from N(0, 1) is m² / 2
    output = PaperOutput(torch.zeros_like(batch.target), None, [Gaussian(shifted, zero)], [Gaussian(zero, zero)])
    # The clips' targets are their frames, the mean face before them and the stop sign after them: 4 and 7 positions.
    real = sum(range(4)) + sum(range(7))
    assert losses(output, batch, SMALL).kl.item() == pytest.approx(real / 11 / 2)
    assert losses(output, batch, replace(SMALL, kl_over_padding=True)).kl.item() == pytest.approx(11 / 2 / 2)


def test_a_corrected_model_never_sees_the_frames_it_predicts_and_the_released_one_does() -> None:
    clips, mean = make_clips(8, 8)
    changed = [torch.cat([clip[:5], clip[5:] + 1]) for clip in clips]
    for ewa, leaks in (("frame", False), ("prefix", False), ("sequence", True)):
        config = replace(SMALL, ewa=ewa)
        model, (memory, mask) = make_model(config), make_text()
        with torch.no_grad():
            before, after = (
                model(collate(c, mean, config), memory, mask, "prior", torch.zeros_like).prediction
                for c in (clips, changed)
            )
        # Position 6 reads frame 6 of (mean, clip), the fifth of the clip: the last one that is the same.
        assert torch.allclose(before[:, :7], after[:, :7], atol=1e-6) is not leaks, ewa
        assert not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


def test_a_cut_clip_keeps_its_last_frame_unless_told_to_lose_it() -> None:
    clips, mean = make_clips(30, 4)
    lost, kept = (collate(clips, mean, replace(SMALL, cut_clip_loses_last_frame=quirk)) for quirk in (True, False))
    assert (lost.is_frame[0].sum(), kept.is_frame[0].sum()) == (11, 12)
    assert lost.markers[0, -1] == kept.markers[0, -1] == Marker.UNKNOWN
    assert lost.target_mask[0].all() and not kept.target_mask[0, -1]  # the last position has no latent
    for batch in (lost, kept):
        assert batch.markers[1].tolist() == [Marker.START, *[Marker.UNKNOWN] * 5, Marker.END, *[Marker.PAD] * 6]
        assert batch.target_mask[1].sum() == 6 and batch.attended[1].sum() == 7
        torch.testing.assert_close(batch.target[:, :-1], batch.frames[:, 1:])


def test_noise_on_the_normed_state_is_there_only_when_asked_for() -> None:
    clips, mean = make_clips(4, 4)
    memory, mask = make_text()
    for second_sample in (True, False):
        model = make_model(replace(SMALL, second_sample=second_sample, guidance=False))
        batch, drawn = collate(clips, mean, model.config), []
        model(
            batch, memory, mask, "recognition", lambda like, drawn=drawn: drawn.append(like) or torch.zeros_like(like)
        )
        assert len(drawn) == 1 + second_sample


def test_every_quirk_has_its_switch_and_the_default_corrects_it() -> None:
    reference = PaperConfig.reference(**SIZES)
    assert PaperConfig.from_settings(SETTINGS) == replace(reference, d_key=8, d_value=8, dropout=0.1)
    for name, value in REFERENCE_QUIRKS.items():
        assert getattr(reference, name) == value != getattr(SMALL, name), name
    assert reference.causal() == replace(reference, ewa="prefix") and SMALL.causal() == SMALL
    assert PaperConfig.from_json({**reference.to_json(), "redraw_past": True, "stop_rule": False}) == reference


@pytest.mark.parametrize(
    ("setting", "value"),
    [("second_sample", "learn"), ("flat_method", "flat"), ("cvae", False), ("encoder_pretrained", None)],
)
def test_variants_that_are_not_supported_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=setting):
        PaperConfig.from_settings({**SETTINGS, setting: value})
    with pytest.raises(ValueError, match=f"lack '{setting}'"):
        PaperConfig.from_settings({k: v for k, v in SETTINGS.items() if k != setting})


def test_bad_configs_and_states_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'colour'"):
        PaperConfig.from_json({**SMALL.to_json(), "colour": 1})
    with pytest.raises(ValueError, match="schema 9"):
        PaperConfig.from_json({**SMALL.to_json(), "schema_version": 9})
    with pytest.raises(ValueError, match="some_other"):
        our_name("decoder.some_other.weight", SMALL)
    with pytest.raises(ValueError, match="row 102"):
        from_released_state({"decoder.trg_word_emb.weight": torch.zeros(50, 16)}, SMALL)
    with pytest.raises(ValueError, match="no text encoder"):
        released_text_encoder({"trg_exp_prj.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"clip 1 has shape \(4, 6\)"):
        collate([torch.zeros(4, 7), torch.zeros(4, 6)], torch.zeros(7), SMALL)


def test_switched_off_parts_have_no_weights() -> None:
    config = replace(SMALL, ewa="off", lta=False, guidance=False)
    model = PaperCTEG(config)
    assert not [k for k in model.state_dict() if k.startswith(("ewa", "guided")) or "lta" in k or "guidance" in k]
    clips, mean = make_clips(3, 5)
    batch = collate(clips, mean, config)
    out = model(batch, *make_text())
    assert out.guided is None and losses(out, batch, config).guided == 0


def test_training_reaches_every_weight_but_the_padding_row_and_dropout_is_for_training_only() -> None:
    config = replace(SMALL, dropout=0.1)
    model, (memory, mask) = PaperCTEG(config), make_text()
    clips, mean = make_clips(6, 20)
    batch = collate(clips, mean, replace(config, cut_clip_loses_last_frame=True))  # shows all four markers
    losses(model(batch, memory, mask), batch, config).total.backward()
    assert not [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert model.markers.weight.grad is not None
    assert (model.markers.weight.grad.abs().sum(1) > 0).tolist() == [False, True, True, True]
    once, twice = (model(batch, memory, mask, "prior", torch.zeros_like).prediction for _ in range(2))
    assert not torch.equal(once, twice)
    assert model.ewa is not None  # its attention too, which has no feed-forward network behind it
    assert not torch.equal(model.ewa.forward_explicit(batch.frames), model.ewa.forward_explicit(batch.frames))
    model.eval()
    once, twice = (model(batch, memory, mask, "prior", torch.zeros_like).prediction for _ in range(2))
    assert torch.equal(once, twice)


def test_mixed_precision_changes_little() -> None:
    clips, mean = make_clips(9, 5)
    model, (memory, mask) = make_model(SMALL), make_text()
    batch = collate(clips, mean, SMALL)
    full = losses(model(batch, memory, mask, "recognition", torch.zeros_like), batch, SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch, memory, mask, "recognition", torch.zeros_like)
    half = losses(output, batch, SMALL)
    assert output.prediction.dtype == output.prior[0].log_variance.dtype == torch.float32
    for term in ("kl", "reconstruction", "guided"):
        assert getattr(half, term).item() == pytest.approx(getattr(full, term).item(), rel=0.02), term


def test_ewas_collapsed_form_equals_its_definition() -> None:
    model = make_model(replace(SMALL, d_model=48, n_head=4, d_key=12, d_value=8))
    assert model.ewa is not None
    frames = torch.randn(3, 6, SMALL.channels, generator=torch.Generator().manual_seed(0))
    explicit = model.ewa.forward_explicit(frames)
    shift = model.ewa.shift_from(model.ewa.scalars(), frames)
    torch.testing.assert_close(shift, (explicit - frames)[..., SMALL.expression_channels :], atol=1e-5, rtol=1e-5)
    assert shift.abs().max() > 0.05
    torch.testing.assert_close(model.ewa(frames), explicit, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("divisor", "by"), [("seen", 3), ("serial", 5), ("training", 13)])
def test_prefix_ewa_divides_the_sum_of_the_frames_so_far(divisor: str, by: int) -> None:
    model = make_model(replace(SMALL, ewa="prefix", ewa_divisor=divisor))
    assert model.ewa is not None
    (clip,), mean = make_clips(6)
    batch = collate([clip], mean, model.config)
    shift = (model.shift_jaw(batch.frames) - batch.frames)[0, 3, SMALL.expression_channels :]
    pooled = (mean + clip[0] + clip[1]) / by
    expected = model.ewa.forward_explicit(pooled[None, None]) - pooled
    torch.testing.assert_close(shift, expected[0, 0, SMALL.expression_channels :], atol=1e-5, rtol=1e-5)


# Continuous perplexity -------------------------------------------------------------------------------------------


def test_released_perplexity_is_one_sided_and_the_box_is_not() -> None:
    gold = np.zeros((1, 1, 53), np.float32)
    mask = np.ones((1, 1), bool)
    for offset, released_is_fooled in ((-5.0, True), (5.0, False)):
        predicted = np.full_like(gold, offset)
        predicted[..., 0] = 0
        assert (cppl(predicted, gold, mask) < 1.01) is released_is_fooled
        assert cppl_box(predicted, gold, mask) == pytest.approx(1e10)
    assert cppl_box(gold, gold, mask) < 1.01


def test_box_probability_is_the_mass_of_the_box_and_stays_finite_far_out() -> None:
    rng = np.random.default_rng(0)
    gold, predicted = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5))
    mass = (norm.cdf(gold + 0.8, predicted, 0.2) - norm.cdf(gold - 0.8, predicted, 0.2)).prod(-1)
    np.testing.assert_allclose(np.exp(box_log_probability(predicted, gold)), mass, rtol=1e-6, atol=1e-30)
    assert (corner_probability(predicted, gold) >= 0).all()
    far = box_log_probability(gold + 100, gold)
    assert np.isfinite(far).all() and (far < -1e5).all()
    assert cppl_box(gold + 2, gold, np.ones((2, 3), bool), floor=None) > 1e10


def test_perplexity_counts_the_leading_run_of_frames_only() -> None:
    gold = np.zeros((2, 3, 2))
    predicted = gold.copy()
    predicted[0, 2] = 9  # after the first gap
    predicted[1, 1] = 9
    mask = np.array([[True, False, True], [True, True, False]])
    bits = [0.0, 0.5 * np.log2(1e10)]
    assert cppl(predicted, gold, mask) == pytest.approx(2 ** np.mean(bits), rel=1e-3)
    with pytest.raises(ValueError, match="clip 1 has no frame"):
        cppl(predicted, gold, np.array([[True, True, True], [False, True, True]]))
