# SPDX-License-Identifier: GPL-3.0-or-later
"""The released checkpoint: read without running anything in it, whatever it holds."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from generator.errors import CheckpointError
from generator.paper.released.checkpoint import read_released_checkpoint
from tests.hostile import Calls

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
released_files = pytest.mark.skipif(not (PARITY / "checkpoint").is_dir(), reason="needs ../shared/parity")


def settings(**changes: Any) -> argparse.Namespace:
    """The options of a small training run, as the released script stores them."""
    return argparse.Namespace(
        **{
            "d_model": 8, "n_head": 2, "d_k": 4, "d_v": 4, "d_inner_hid": 16, "n_layers": 1, "trg_exp_dim": 53,
            "exp_only_dim": 50, "trg_len": 12, "src_len": 10, "dropout": 0.1, "scale_emb": True, "cvae": True,
            "flat_method": "casual_attention", "second_sample": "one", "one_step_loss": True,
            "feature_attention": True, "pretrained_path": "bert-base-cased", "lr_mul": 2.0, "cuda": False,
            "encoder_pretrained": bert(), **changes,
        }
    )  # fmt: skip


def bert() -> BertModel:
    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            vocab_size=110, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=12,
        )
    )  # fmt: skip


def state_of(encoder: BertModel) -> OrderedDict[str, torch.Tensor]:
    """A state dict in the released layout; the two encoders share their storages."""
    state = OrderedDict((f"encoder.{k}", v) for k, v in encoder.state_dict().items())
    state.update((f"encoder_pretrained.{k}", v) for k, v in encoder.state_dict().items())
    state["decoder.trg_word_emb.weight"] = torch.randn(110, 8)
    state["decoder.half"] = torch.randn(4, 6).to(torch.bfloat16)
    state["decoder.turned"] = torch.arange(12.0).reshape(3, 4).T
    state["decoder.slice"] = torch.arange(20)[5:9]
    state["decoder.empty"] = torch.zeros(0, 3)
    return state


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, OrderedDict[str, torch.Tensor]]:
    """A tiny checkpoint in the released layout, and its state dict."""
    options = settings()
    state = state_of(options.encoder_pretrained)
    torch.save({"epoch": 7, "settings": options, "model": state}, tmp_path / "model.chkpt")
    return tmp_path / "model.chkpt", state


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], **options: Any) -> Path:
    """A copy of a checkpoint whose members ``change`` has changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    copy = path.with_name("changed.chkpt")
    with zipfile.ZipFile(copy, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return copy


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_released_checkpoint(path)
    assert str(caught.value).startswith(path.name) and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_made_checkpoint_is_read_whole(made: tuple[Path, OrderedDict[str, torch.Tensor]]) -> None:
    path, state = made
    read = read_released_checkpoint(path)
    assert read.epoch == 7
    assert read.settings["encoder_pretrained"] == "BertModel"
    assert read.settings["lr_mul"] == 2.0 and read.settings["cuda"] is False
    assert (read.encoder["hidden_size"], read.encoder["num_attention_heads"]) == (8, 2)
    assert set(read.copies) == {name for name in state if name.startswith("encoder_pretrained.")}
    assert set(read.state) == set(state) - set(read.copies)
    for name, tensor in read.state.items():
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, state[name]), name
    json.dumps([read.settings, read.encoder], allow_nan=False)


def test_equal_encoders_in_storages_of_their_own_are_stored_once_different_ones_refused(tmp_path: Path) -> None:
    options = settings()
    state = state_of(options.encoder_pretrained)
    name = "encoder_pretrained.embeddings.LayerNorm.weight"
    state[name] = state[name].clone()
    torch.save({"epoch": 0, "settings": options, "model": state}, tmp_path / "model.chkpt")
    assert name in read_released_checkpoint(tmp_path / "model.chkpt").copies
    state[name] = state[name] + 1
    torch.save({"epoch": 0, "settings": options, "model": state}, tmp_path / "model.chkpt")
    assert "two different text encoders" in refusal(tmp_path / "model.chkpt")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_that_runs_something_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "ran"
    hostile = Calls(os.system, f"touch {witness}")
    encoder = bert()
    encoder.config.hostile = hostile
    ordinary = {"epoch": 1, "settings": settings(), "model": {"a": torch.zeros(2)}}
    for changed in (
        {"settings": settings(inner={"deep": [hostile]})},
        {"settings": settings(encoder_pretrained=encoder)},
        {"model": {"a": hostile}},
        {"epoch": hostile},
        {"more": hostile},
    ):
        torch.save({**ordinary, **changed}, tmp_path / "model.chkpt", pickle_protocol=protocol)
        message = refusal(tmp_path / "model.chkpt")
        assert f"{os.system.__module__}.system" in message and "Nothing in it was run" in message
    assert not witness.exists()


WRONG_LAYOUTS: dict[str, tuple[Any, str]] = {
    "a bare state dict": ({"a": torch.zeros(2)}, "lacks 'epoch'"),
    "a list": ([1, 2], "does not hold a dictionary"),
    "no weights": ({"epoch": 1, "settings": argparse.Namespace(), "model": {}}, "no weights"),
    "an epoch of text": ({"epoch": "1", "settings": argparse.Namespace(), "model": {}}, "epoch"),
    "settings as a dict": ({"epoch": 1, "settings": {}, "model": {}}, "argparse namespace"),
    "weights that are numbers": (
        {"epoch": 1, "settings": argparse.Namespace(), "model": {"a": 1}},
        "'a'.*not a tensor",
    ),
    "weights that are not finite": (
        {"epoch": 1, "settings": argparse.Namespace(), "model": {"a": torch.tensor([1.0, torch.nan])}},
        r"not finite \(a\)",
    ),
    "a whole module instead of its weights": (torch.nn.Linear(2, 2), "does not hold a dictionary"),
    "a complex tensor": ({"model": torch.zeros(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
    "a sparse tensor": ({"model": torch.eye(2).to_sparse()}, "_rebuild_sparse_tensor"),
}


@pytest.mark.parametrize("title", WRONG_LAYOUTS)
def test_other_layouts_are_refused(title: str, tmp_path: Path) -> None:
    content, message = WRONG_LAYOUTS[title]
    torch.save(content, tmp_path / "model.chkpt")
    with pytest.raises(CheckpointError, match=message):
        read_released_checkpoint(tmp_path / "model.chkpt")


def test_settings_that_never_end_are_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    doubling: list[Any] = [0.5]
    for _ in range(18):
        doubling = [doubling, doubling]
    for value in (endless, doubling):
        torch.save(
            {"epoch": 1, "settings": settings(x=value), "model": {"a": torch.zeros(2)}}, tmp_path / "model.chkpt"
        )
        assert "never end" in refusal(tmp_path / "model.chkpt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_other_formats_are_refused(tmp_path: Path, made: tuple[Path, Any]) -> None:
    path, content = tmp_path / "other.chkpt", {"epoch": 1}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert "old file format" in refusal(path)
    path.write_bytes(b"x" * 257 + b"ustar" + b"x" * 300)
    assert "old file format" in refusal(path)
    path.write_bytes(pickle.dumps(content))
    assert "not a file of torch.save" in refusal(path)
    path.write_bytes(b"")
    assert "not a file of torch.save" in refusal(path)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    assert "TorchScript" in refusal(path)
    whole = made[0].read_bytes()
    for length in (10, 1000, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        assert "cut off or not a file" in refusal(path)
    with pytest.raises(CheckpointError, match="There is no file"):
        read_released_checkpoint(tmp_path / "missing.chkpt")


def add(name: str, data: bytes = b"x") -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: data})


def test_archives_that_were_tampered_with_are_refused(made: tuple[Path, Any]) -> None:
    path = made[0]
    assert read_released_checkpoint(rewritten(path, lambda members: None)).epoch == 7
    for name in ("../evil", "model/../../evil", "/etc/evil", "model//evil", "model/data\\..\\evil", "other/data.txt"):
        assert "which torch.save does not write" in refusal(rewritten(path, add(name))), name
    assert "compressed" in refusal(rewritten(path, lambda members: None, compression=zipfile.ZIP_DEFLATED))
    assert "big-endian" in refusal(rewritten(path, add("model/byteorder", b"big")))
    assert "is missing" in refusal(rewritten(path, lambda members: members.pop("model/data/0") and None))
    assert "bytes and should hold" in refusal(rewritten(path, add("model/data/0", b"1234")))
    assert "without data.pkl" in refusal(rewritten(path, lambda members: members.pop("model/data.pkl") and None))
    assert "cut off" in refusal(rewritten(path, lambda members: members.update({"model/data.pkl": b"\x80\x02}"})))


def test_any_flipped_byte_of_the_directory_is_read_or_refused(made: tuple[Path, Any]) -> None:
    whole = made[0].read_bytes()
    first, last = whole.index(b"PK\x01\x02"), len(whole)
    for position in (*range(first, first + 60), *range(last - 60, last)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        made[0].write_bytes(damaged)
        with suppress(CheckpointError):
            read_released_checkpoint(made[0])


def test_a_member_that_declares_gigabytes_is_refused(made: tuple[Path, Any]) -> None:
    whole = bytearray(made[0].read_bytes())
    entry = whole.index(b"PK\x01\x02")  # of the first member, in the archive's directory
    whole[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    made[0].write_bytes(whole)
    assert "declares 2,147," in refusal(made[0])


def test_damaged_data_is_noticed(made: tuple[Path, OrderedDict[str, torch.Tensor]]) -> None:
    path, state = made
    whole = bytearray(path.read_bytes())
    whole[whole.index(state["decoder.trg_word_emb.weight"].numpy().tobytes()) + 100] ^= 0xFF
    path.write_bytes(whole)
    assert "CRC" in refusal(path)


@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((3,), (1,), 0), ((2,), (1,), 1), ((2, 2), (0, 1), 0), ((2**40,), (0,), 0), ((2,), (2**62,), 0), ((2,), (-1,), 1),
     ((2, 1), (1,), 0), ((1,) * 9, (1,) * 9, 0)],
)  # fmt: skip
def test_tensors_beyond_their_data_are_refused(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    class Shaped:
        """Pickles as ``_rebuild_tensor_v2`` with a shape of its own choosing."""

        def __reduce__(self) -> Any:
            storage = torch.storage.TypedStorage(wrap_storage=torch.zeros(2).untyped_storage(), dtype=torch.float32)
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, OrderedDict())

    torch.save({"epoch": 1, "settings": argparse.Namespace(), "model": {"a": Shaped()}}, tmp_path / "model.chkpt")
    assert "shape" in refusal(tmp_path / "model.chkpt")


@released_files
def test_the_given_checkpoint_is_read_as_recorded() -> None:
    folder = PARITY / "checkpoint"
    read = read_released_checkpoint(folder / "model.chkpt")
    tagged = read_released_checkpoint(folder / "model_cuda_tagged.chkpt")
    assert sorted([*read.state, *read.copies]) == json.loads((folder / "state_keys.json").read_text())
    assert len(read.copies) == 39 and read.settings == json.loads((folder / "settings.json").read_text())
    assert read.settings == tagged.settings and read.state.keys() == tagged.state.keys()
    assert all(torch.equal(read.state[name], tagged.state[name]) for name in read.state)
