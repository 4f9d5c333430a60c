# SPDX-License-Identifier: GPL-3.0-or-later
"""The released checkpoint converted into one of ours: complete, incomplete, tampered with."""

from __future__ import annotations

import argparse
import json
import shutil
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from generator.errors import CheckpointError, InputError
from generator.lab.serial import decode_serial
from generator.paper.checkpoint import load_paper_checkpoint
from generator.paper.released import command
from tests.parity.folder import Folder

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
SMALL = Path(__file__).resolve().parents[1] / "parity" / "data"
released_files = pytest.mark.skipif(not (PARITY / "checkpoint").is_dir(), reason="needs ../shared/parity")


def convert(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(argument) for argument in arguments]))


@released_files
def test_the_given_checkpoint_converts_and_decodes_as_recorded(tmp_path: Path) -> None:
    convert(
        PARITY / "checkpoint" / "model_cuda_tagged.chkpt", tmp_path / "out", "--vocab", PARITY / "vocab.txt",
        "--mean", PARITY / "stage1_mean.npy",
    )  # fmt: skip
    ours = load_paper_checkpoint(tmp_path / "out")
    batch, expected = Folder(PARITY).batch, load_file(PARITY / "checkpoint" / "expected.safetensors")
    features = ours.encoder.encode(json.loads(batch.metadata["texts"]))
    mask = batch["src_attention_mask"][:, 0].bool()[:, : features.mask.shape[1]]
    assert torch.equal(features.mask, mask)
    recorded = expected["enc_output"][:, : mask.shape[1]]
    torch.testing.assert_close(features.hidden[mask], recorded[mask], atol=1e-5, rtol=0)
    assert torch.equal(ours.mean, batch["mean"])
    noise = iter([expected[name] for name in sorted(expected) if name.startswith("serial.eps.")])
    frames = decode_serial(
        ours.model, features.hidden, mask, ours.mean, len(expected["serial.out.frames"][0]), lambda _: next(noise)
    )
    torch.testing.assert_close(frames, expected["serial.out.frames"], atol=1e-5, rtol=0)


def write_released(path: Path, **changes: Any) -> Folder:
    """A checkpoint with the weights and sizes of the committed parity set, in the released layout."""
    folder = Folder(SMALL)
    sizes = folder.settings("l1")
    encoder = BertModel(BertConfig(vocab_size=sizes["vocab_size"], **sizes["bert"]))
    options = argparse.Namespace(
        **{**sizes, "encoder_pretrained": encoder, "pretrained_path": "bert-base-cased", **changes}
    )
    torch.save({"epoch": 3, "settings": options, "model": OrderedDict(folder.read("state_l1").tensors)}, path)
    return folder


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """`write_released`, and a mean face beside it."""
    folder = write_released(tmp_path / "model.chkpt")
    np.save(tmp_path / "stage1_mean.npy", folder.batch["mean"].numpy())
    return tmp_path / "model.chkpt"


@pytest.fixture
def converted(released: Path) -> Path:
    """The same, converted with everything it needs."""
    out = released.parent / "out"
    convert(released, out, "--vocab", SMALL / "vocab.txt", "--mean", released.parent / "stage1_mean.npy")
    return out


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_converted_checkpoint_is_the_model_that_was_saved(converted: Path) -> None:
    ours, folder = load_paper_checkpoint(converted), Folder(SMALL)
    assert (ours.training["epoch"], ours.training["converted_from"]) == (3, "model.chkpt")
    assert ours.training["settings"]["pretrained_path"] == "bert-base-cased"
    assert not ours.model.training and ours.model.config == folder.config("l1")
    for name, value in folder.model("l1").state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value), name
    assert torch.equal(ours.mean, folder.batch["mean"])
    memory, mask = folder.memory("l1", replace(ours.model.config, pad_text=False))
    features = ours.encoder.encode(json.loads(folder.batch.metadata["texts"]))
    assert torch.equal(features.mask, mask)
    torch.testing.assert_close(features.hidden[mask], memory[mask], atol=1e-6, rtol=0)


def test_the_text_encoder_of_a_converted_checkpoint_is_an_ordinary_bert_folder(converted: Path) -> None:
    # As its users would read it with transformers, which knows nothing of us.
    theirs, notes = BertModel.from_pretrained(converted / "encoder", output_loading_info=True, add_pooling_layer=False)
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    ours = load_paper_checkpoint(converted).encoder
    ids = torch.tensor([[2, 5, 7, 3]])
    assert ours.folder == converted / "encoder"
    torch.testing.assert_close(
        ours._model(ids, ids > 0), theirs.eval()(ids).last_hidden_state, atol=1e-6, rtol=0, check_device=False
    )


def test_what_the_released_file_lacks_is_asked_for_and_may_be_copied_in_later(
    released: Path, converted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = released.parent / "bare"
    capsys.readouterr()
    convert(released, out)
    said = capsys.readouterr().out
    assert "epoch 3" in said and "vocab.txt" in said and "stage1_mean.npy" in said
    encoder = ["encoder/config.json", "encoder/model.safetensors", "encoder/tokenizer_config.json"]
    assert files(out) == ["config.json", *encoder, "model.safetensors"]
    with pytest.raises(CheckpointError, match=r"not complete; put .*vocab\.txt .* into .*encoder and .*stage1_mean"):
        load_paper_checkpoint(out)
    shutil.copy(released.parent / "stage1_mean.npy", out)
    with pytest.raises(CheckpointError, match=r"put the text encoder's own vocab\.txt .* into .*encoder\.$"):
        load_paper_checkpoint(out)
    words = (SMALL / "vocab.txt").read_text().splitlines()
    for wrong, message in ((words[:-1], "has 108 tokens and its text encoder 109"), (words[::-1], "convert again")):
        (out / "encoder" / "vocab.txt").write_text("\n".join(wrong))
        with pytest.raises(CheckpointError, match=message):
            load_paper_checkpoint(out)
    shutil.copy(SMALL / "vocab.txt", out / "encoder")
    complete, whole = load_paper_checkpoint(out), load_paper_checkpoint(converted)
    assert torch.equal(complete.mean, whole.mean) and complete.training == whole.training
    assert torch.equal(complete.encoder.encode(["a b"]).hidden, whole.encoder.encode(["a b"]).hidden)
    convert(released, released.parent / "faceless", "--vocab", SMALL / "vocab.txt")
    said = capsys.readouterr().out
    assert "stage1_mean.npy" in said and "vocab.txt" not in said


def test_a_vocabulary_in_another_order_moves_the_markers(released: Path, converted: Path) -> None:
    reversed_words = released.parent / "reversed.txt"
    reversed_words.write_text("\n".join((SMALL / "vocab.txt").read_text().splitlines()[::-1]))
    convert(released, released.parent / "reversed", "--vocab", reversed_words)
    rows = Folder(SMALL).read("state_l1")["decoder.trg_word_emb.weight"]
    shutil.copy(released.parent / "stage1_mean.npy", released.parent / "reversed")
    for folder, ids in ((converted, [0, 100, 101, 102]), (released.parent / "reversed", [108, 8, 7, 6])):
        assert torch.equal(load_paper_checkpoint(folder).model.markers.weight, rows[ids])


def test_convert_refuses_in_sentences_and_writes_nothing(released: Path, converted: Path) -> None:
    out = released.parent / "other"
    with pytest.raises(InputError, match="already holds"):
        convert(released, converted)
    (released.parent / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        convert(released, released.parent / "file")
    short = released.parent / "short.txt"
    short.write_text("[PAD]\n[UNK]\n")
    wide = released.parent / "wide.npy"
    np.save(wide, np.zeros(99, np.float32))
    objects = released.parent / "objects.npy"
    np.save(objects, np.array([{}]), allow_pickle=True)
    several = released.parent / "several.npz"
    np.savez(several, a=np.zeros(3))
    for option, path, message in (
        ("--vocab", short, "has 2 tokens"),
        ("--vocab", released, "is not a text file"),
        ("--vocab", released.parent / "nowhere", "There is no file"),
        ("--mean", wide, "does not hold"),
        ("--mean", objects, "not a .npy file of numbers"),
        ("--mean", short, "not a .npy file of numbers"),
        ("--mean", several, "not a .npy file of numbers"),
        ("--mean", released.parent / "nowhere", "There is no file"),
    ):
        with pytest.raises(InputError, match=message):
            convert(released, out, option, path)
    for changes, message in (
        ({"d_model": 16}, "describes .* numbers"),
        ({"encoder_pretrained": "RobertaModel"}, "'RobertaModel', not a BertModel"),
        ({"cvae": False}, "cvae"),
    ):
        write_released(released, **changes)
        with pytest.raises(CheckpointError, match=message):
            convert(released, out)
    assert not out.exists()


def test_a_converted_checkpoint_that_was_changed_is_refused(converted: Path) -> None:
    stored = json.loads((converted / "config.json").read_text())
    for change, message in (
        ({"schema_version": 99}, "99"),
        ({"format": "another"}, "another"),
        ({"model": {**stored["model"], "d_model": 16}}, "size mismatch|cannot be used"),
        ({"model": {**stored["model"], "colour": 1}}, "colour"),
        ({"model": {}}, "schema"),
        ({"training": {"marker_ids": [0, 1, 2, 9]}}, "markers at other places"),
    ):
        (converted / "config.json").write_text(json.dumps({**stored, **change}))
        with pytest.raises(CheckpointError, match=message):
            load_paper_checkpoint(converted)
    (converted / "config.json").write_text(json.dumps(stored))
    weights = load_file(converted / "model.safetensors")
    for name, value, message in (("mean", torch.zeros(3), "mean face"), ("frames.weight", torch.nan, "not finite")):
        save_file({**weights, name: torch.full_like(weights[name], value) if value is torch.nan else value},
                  converted / "model.safetensors")  # fmt: skip
        with pytest.raises(CheckpointError, match=message):
            load_paper_checkpoint(converted)
    (converted / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_paper_checkpoint(converted)
    shutil.rmtree(converted / "encoder")
    save_file(weights, converted / "model.safetensors")
    with pytest.raises(CheckpointError, match="its folder encoder is missing"):
        load_paper_checkpoint(converted)
    (converted / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_paper_checkpoint(converted)
