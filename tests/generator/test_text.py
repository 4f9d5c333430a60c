# SPDX-License-Identifier: GPL-3.0-or-later
"""Text encoders: our BERT equals the library's, other families load, names and broken folders get sentences."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from transformers import AutoConfig, AutoModel
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from generator.errors import EnvironmentProblem
from generator.model.pretrained import find_encoder, load_model, read_settings
from generator.model.text import DEFAULT_ENCODER, TextEncoder
from tests.generator.tiny import WORDS, write_bert
from tests.hostile import Calls

LINE = "You kept it?"


def compare(folder: Path, settings: dict[str, Any], vocabulary: int) -> float:
    """Largest difference between our BERT and the library's on real tokens."""
    theirs = BertModel(BertConfig(**settings), add_pooling_layer=False)
    assert not theirs.load_state_dict(load_file(folder / "model.safetensors"), strict=False).missing_keys
    ids = torch.randint(4, vocabulary, (3, 13), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, 9:] = mask[2, 4:] = False
    with torch.inference_mode():
        recorded = theirs.eval()(ids, attention_mask=mask.long()).last_hidden_state
        ours = load_model(folder, settings)(ids, mask)
    assert recorded[mask].std() > 0.1
    return float((ours - recorded)[mask].abs().max())


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
def test_our_bert_equals_the_librarys(activation: str, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert", hidden_act=activation, layer_norm_eps=1e-5, num_attention_heads=4)
    assert compare(folder, read_settings(folder), len(WORDS)) < 1e-6


def test_the_default_encoder_equals_the_librarys() -> None:
    folder = find_encoder(DEFAULT_ENCODER)
    assert compare(folder, read_settings(folder), 30000) < 1e-6


def test_the_default_encoder_needs_no_transformers(printed: Callable[..., str]) -> None:
    program = (
        "import sys; from generator.performing.load import load_performer; "
        "from generator.direction.requests import LineRequest; "
        "load_performer(device='cpu').perform([LineRequest('No.', seconds=0.5).validated()]); "
        "print([name for name in ('transformers', 'huggingface_hub', 'torch._dynamo') if name in sys.modules])"
    )
    assert printed(program).strip() == "[]"  # each of them costs seconds before the first take


def test_published_names_and_heads_do_not_disturb(tmp_path: Path) -> None:
    plain = write_bert(tmp_path / "plain")
    headed = Path(shutil.copytree(plain, tmp_path / "headed"))
    state = {f"bert.{name}": value for name, value in load_file(plain / "model.safetensors").items()}
    save_file({**state, "cls.predictions.bias": torch.zeros(3)}, headed / "model.safetensors")
    one, other = (TextEncoder.load(str(folder)).encode([LINE]).hidden for folder in (plain, headed))
    assert torch.equal(one, other)


@pytest.mark.parametrize("family", ["distilbert", "roberta", "electra", "mpnet"])
def test_other_families_are_read_from_a_folder(family: str, tmp_path: Path) -> None:
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 24, "bos_token_id": 2, "eos_token_id": 3}
    if family == "distilbert":
        sizes |= {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2}
    else:
        sizes |= {"hidden_size": 16, "embedding_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                  "num_attention_heads": 2}  # fmt: skip
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(family, **sizes)).eval()
    model.save_pretrained(tmp_path / family)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertWordPieceTokenizer(str(tmp_path / "vocab.txt"), lowercase=False)._tokenizer
    tokenizer.save(str(tmp_path / family / "tokenizer.json"))
    encoder = TextEncoder.load(str(tmp_path / family))
    features = encoder.encode([LINE, "A."])
    assert encoder.width == 16 and features.mask.sum(1).tolist() == [12, 4]
    with torch.inference_mode():
        alone = model(torch.tensor([tokenizer.encode("A.").ids])).last_hidden_state
    torch.testing.assert_close(features.hidden[1:, :4], alone, atol=1e-6, rtol=0)  # padding does not leak
    long = encoder.encode(["a " * 40])  # more than the encoder has positions for
    assert 20 <= long.mask.sum() <= 24
    weights = load_file(tmp_path / family / "model.safetensors")
    del weights[next(name for name in weights if "attention" in name)]
    save_file(weights, tmp_path / family / "model.safetensors", {"format": "pt"})
    with pytest.raises(EnvironmentProblem, match=r"the weight .*attention.* is missing"):
        TextEncoder.load(str(tmp_path / family))


def test_case_is_what_the_folder_says_or_the_vocabulary_shows(tmp_path: Path) -> None:
    cased = write_bert(tmp_path / "cased")
    assert TextEncoder.load(str(cased)).unknown_share("YOU") == 0
    assert not torch.equal(*(TextEncoder.load(str(cased)).encode([text]).hidden for text in ("You", "you")))
    (cased / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert torch.equal(*(TextEncoder.load(str(cased)).encode([text]).hidden for text in ("You", "you")))
    (cased / "tokenizer_config.json").unlink()
    (cased / "vocab.txt").write_text("\n".join(word if word != "A" else "[unused]" for word in WORDS))
    assert torch.equal(*(TextEncoder.load(str(cased)).encode([text]).hidden for text in ("You", "you")))


def test_lines_are_encoded_once_and_cut_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder.load(str(write_bert(tmp_path / "bert")), max_tokens=6)
    first = encoder.encode([LINE, "A.", LINE])
    assert first.mask.sum(1).tolist() == [6, 4, 6] and torch.equal(first.hidden[0], first.hidden[2])
    assert (encoder.is_cut(LINE), encoder.is_cut("A.")) == (True, False)
    monkeypatch.setattr(type(encoder._model), "__call__", None)  # a second pass through the encoder would fail
    assert torch.equal(encoder.encode(["A."]).hidden[0], first.hidden[1, :4])
    assert encoder.unknown_share("?# # #") == 0.75


def test_a_hub_name_is_fetched_without_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked, local = write_bert(tmp_path / "snapshot"), [], []

    def snapshot_download(name: str, *, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append((name, allow_patterns))
        local.append(local_files_only)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    for name in ("bert-base-cased", "someone/their_model.v2"):
        encoder = TextEncoder.load(name)
        assert (encoder.name, encoder.folder) == (name, folder)
    assert [name for name, _ in asked] == ["bert-base-cased", "someone/their_model.v2"]
    TextEncoder.load("bert-base-cased", online=False)  # a file named it
    assert local == [False, False, True]
    allowed = {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json"}
    assert set(asked[0][1]) == allowed
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EnvironmentProblem, match=r"lacks model\.safetensors .* never from pickles"):
        TextEncoder.load("bert-base-cased")


def test_a_hub_that_is_out_of_reach_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def snapshot_download(*_: object, **__: object) -> str:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"\(no route to the hub\); download config\.json.*/bert-base-cased"):
        TextEncoder.load("bert-base-cased")
    for name in ("../somewhere", "/nowhere", "a/b/c", ""):
        with pytest.raises(EnvironmentProblem, match=r"There is no folder|lacks config"):
            TextEncoder.load(name)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "not JSON"),
        ("config.json", b"[" * 100_000, "not JSON"),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b"{}", "it lacks 'vocab_size'"),
        ("config.json", b'{"model_type": "no_such_family"}', "no_such_family"),
        ("model.safetensors", b"\0" * 8, "cannot be used"),
        ("model.safetensors", pickle.dumps(Calls(print, "this must not run")), "cannot be used"),
        ("tokenizer.json", b"{}", "tokenizer of the text encoder"),
        ("vocab.txt", None, "neither tokenizer.json nor vocab.txt"),
        ("model.safetensors", None, "lacks model.safetensors"),
    ],
)
def test_broken_folders_get_sentences(
    file: str, content: bytes | None, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_bert(tmp_path / "bert")
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        TextEncoder.load(str(folder))
    assert "\n" not in str(caught.value) and "must not run" not in capfd.readouterr().out


@pytest.mark.parametrize("change", [{"hidden_size": 32}, {"num_hidden_layers": 10**9}, {"num_attention_heads": 3}])
def test_weights_that_do_not_fit_the_config_are_refused(change: dict[str, int], tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert")
    (folder / "config.json").write_text(json.dumps({**read_settings(folder), **change}))
    with pytest.raises(EnvironmentProblem, match=r"has shape|is missing|no multiple"):
        TextEncoder.load(str(folder))
