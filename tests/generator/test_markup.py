# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts, subtitles and chats put around a line is never spoken, and what only looks like it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from generator.direction.requests import LineRequest, clean_text
from generator.errors import InputError
from generator.shared.scripts import clean
from generator.shared.scripts.markup import MAX_NAME, speaker_of

#: Lines of dialogue, each written down once in one of eight kinds of markup. Both were there before what reads them.
LINES = (
    # Speaker labels
    ("I told you not to come back here.", "ANNA: I told you not to come back here."),
    ("Where were you last night?", "Tom: Where were you last night?"),
    ("The train left an hour ago.", "OLD MAN: The train left an hour ago."),
    ("We have a situation, sir.", "GUARD #2: We have a situation, sir."),
    ("You have six months, maybe less.", "Dr. Weber: You have six months, maybe less."),
    ("Say it again. Slowly.", "MRS. O'NEIL:   Say it again. Slowly."),
    ("It's 10:30 and nobody is here.", "MARY-ANN: It's 10:30 and nobody is here."),
    ("(angrily) Get out of my kitchen!", "JACK: (angrily) Get out of my kitchen!"),
    # Tags
    ("I never loved him.", "<i>I never loved him.</i>"),
    ("You can't do this to me!", "You <b>can't</b> do this to me!"),
    ("They're coming through the wall!", '<font color="#ffff00">They\'re coming through the wall!</font>'),
    ("Nobody asked you, Frank.", "<v Roger>Nobody asked you, Frank."),
    ("I love you & I always will.", "I love you &amp; I always will."),
    ("Everything is going to be fine.", "<c.yellow.bg_blue>Everything is <u>going</u> to be fine.</c>"),
    ("Wait for me outside.", "Wait for me<br/>outside."),
    ("This is the captain speaking.", "< i >This is the captain speaking.</ i >"),
    # Overrides of SubStation Alpha
    ("Put the knife down, please.", r"{\an8}Put the knife down, please."),
    ("We lost the baby.", r"{\i1}We lost the baby.{\i0}"),
    ("What a beautiful morning it is!", r"{\pos(192,240)\fad(300,200)}What a beautiful morning it is!"),
    ("He was my best friend and I let him go.", r"He was my best friend\Nand I let him go."),
    ("Don't you dare touch her.", r"{\c&HFFFFFF&}Don't you {\b1}dare{\b0} touch her."),
    ("Is anybody there?", r"{\an8}<i>Is anybody there?</i>"),
    ("That smells absolutely disgusting.", r"{\fs22\fnArial}That smells\habsolutely disgusting."),
    # Timecodes
    ("I can't believe you kept it.", "00:01:02,500 --> 00:01:04,000\nI can't believe you kept it."),
    ("Run! Run and don't look back!", "12\n00:00:41,120 --> 00:00:43,001\nRun! Run and don't look back!"),
    ("It was never about the money.", "[00:02:11] It was never about the money."),
    ("You look just like your father.", "[02:11.5] You look just like your father."),
    ("My sister called this morning.", "00:04:17:12 My sister called this morning."),
    ("I'm so proud of you.", "(00:10:03) I'm so proud of you."),
    ("Are you out of your mind?", "00:00:05.000 --> 00:00:07.500 align:start position:0%\nAre you out of your mind?"),
    ("There is nothing left to say.", "01:02:03 - There is nothing left to say."),
    # Music notes
    ("Happy birthday to you.", "♪ Happy birthday to you. ♪"),
    ("And I will always find my way home.", "♫ And I will always find my way home. ♫"),
    ("Sleep, little darling, the night is long.", "🎵 Sleep, little darling, the night is long. 🎶"),
    ("Oh, the sea is calling me.", "♪♪ Oh, the sea is calling me."),
    ("We shall dance until the morning.", "# We shall dance until the morning. #"),
    ("Goodbye, my old friend.", "<i>♪ Goodbye, my old friend. ♪</i>"),
    # Emoji
    ("I got the job!", "I got the job! 🎉🎉"),
    ("That was so embarrassing.", "That was so embarrassing. 😳"),
    ("I miss you every single day.", "I miss you every single day. ❤️"),
    ("Happy now?", "Happy now? 👩‍👩‍👧 👍🏽"),
    ("See you on Friday.", "See you on Friday. 🇫🇷 ✈️"),
    ("You are impossible.", "😡 You are impossible."),
    ("Thank you, that means a lot.", "Thank you, that means a lot. :-)"),
    ("I failed the exam again.", "I failed the exam again. :("),
    # Quotation marks around all of it
    ("I don't want your pity.", '"I don\'t want your pity."'),
    ("We leave at dawn.", "“We leave at dawn.”"),
    ("You promised me.", "«You promised me.»"),
    ("Tell her the truth.", "‘Tell her the truth.’"),
    ("(softly) Come closer.", '(softly) "Come closer."'),
    ("What have you done?", 'ANNA: "What have you done?"'),
    ("Nothing will ever be the same.", "„Nothing will ever be the same.“"),
    # (V.O.), (CONT'D), dashes
    ("I was born in a small town.", "(V.O.) I was born in a small town."),
    ("Somebody help me!", "ANNA (O.S.): Somebody help me!"),
    ("And then he smiled at me.", "JOHN (CONT'D): And then he smiled at me."),
    ("I always knew it was you.", "SARAH (V.O.) (CONT’D)\nI always knew it was you."),
    ("Yes, of course I did.", "- Yes, of course I did."),
    ("Nobody move.", "–Nobody move."),
    ("They told us to wait here.", ">> REPORTER: They told us to wait here."),
    ("Please don't go.", "— (O.C.) Please don't go."),
)

#: Each kind of markup as it can be put around any line.
AROUND: dict[str, tuple[Callable[[str], str], ...]] = {
    "label": (
        lambda s: f"ANNA: {s}", lambda s: f"Mr. Brown: {s}", lambda s: f"MAN ON TV:\t{s}", lambda s: f"**Zoë:** {s}",
    ),
    "tags": (lambda s: f"<i>{s}</i>", lambda s: f"<v.loud Mary Ann>{s}</v>", lambda s: f"<b><u>{s}</u></b>"),
    "overrides": (lambda s: rf"{{\an8}}{s}", lambda s: rf"{{\i1\b1}}{s}{{\r}}", lambda s: rf"{{\an8}}{s}\N"),
    "timecode": (
        lambda s: f"00:00:01,000 --> 00:00:02,000\n{s}", lambda s: f"[1:02:03.456] {s}",
        lambda s: f"7\r\n00:00:01,000 --> 00:00:02,000\r\n{s}\r\n",
    ),
    "music": (lambda s: f"♪ {s} ♪", lambda s: f"♫{s}", lambda s: f"🎶 {s} 🎶"),
    "emoji": (lambda s: f"{s} 😀", lambda s: f"🤷🏾‍♀️ {s}", lambda s: f"{s} ;-)"),
    "quotes": (lambda s: f'"{s}"', lambda s: f"“{s}”", lambda s: f"« {s} »"),
    "extension": (lambda s: f"(V.O.) {s}", lambda s: f"BOB (cont'd): {s}", lambda s: f"- {s}", lambda s: f"(OS) {s}"),
}  # fmt: skip

#: What must stay: sentences that only look like markup.
KEPT = (
    "Listen: I am not going.",
    "Remember: Nobody leaves before noon.",
    "Two words: Get out.",
    "Here's the thing: I never liked him.",
    "Question: Who are you?",
    "Rule one: Never look down.",
    "My answer: No.",
    "WARNING: Do not touch this.",
    "LISTEN: I won't say it twice.",
    "NO: I said no!",
    "I know one thing: She lied.",
    "One more thing: Call your mother.",
    "Paris: the city of my dreams.",
    "Look: it's snowing!",
    "Wait: That isn't mine.",
    "It is 10:30: we are late.",
    "10:30 is too late for me.",
    "-5 degrees outside, and you forgot your coat.",
    "I <3 you more than x < y and y > z.",
    "AT&T called again.",
    '"Yes," he said, "and no."',
    "'Cause I love you, that's why.",
    "'Tis the dogs' dinner'",
    "She said “no”.",
    '"No" is a complete sentence.',
    "Call me at #5, not #6.",
    "Well, (you know) I tried.",
    "(sobbing) Please stay.",
    "[joy 0.8 → sadness] I thought so.",
    "[joy -> fear] Is that you?",
    "I was - how do you say - afraid.",
    "You - you came back?",
    "I *never* said that.",
    "*sighs* Fine.",
    "...and then he left.",
    "...",
    "?!",
    "It costs 20 °C, © you know, 100 %.",
    "The ratio was 3:1.",
    "(Thanks.) You are welcome.",
    "Mission accomplished; the OS (the old one) is gone.",
    "So {this} stays.",
    "Mark my words: You will regret it.",
    "P.S.: I love you.",
)


@pytest.mark.parametrize(("bare", "marked"), LINES, ids=[bare for bare, _ in LINES])
def test_a_line_in_markup_is_the_bare_line(bare: str, marked: str) -> None:
    assert clean_text(marked)[0] == bare
    assert clean_text(bare)[0] == bare


@pytest.mark.parametrize("kind", AROUND)
def test_any_line_in_any_markup_is_the_bare_line(kind: str) -> None:
    wrong = {
        marked: found
        for around in AROUND[kind]
        for bare, _ in LINES
        if (found := clean_text(marked := around(bare))[0]) != bare
    }
    assert wrong == {}


def test_markup_in_markup_goes_too() -> None:
    written = "12\n00:00:41,120 --> 00:00:43,001\n{\\an8}<i>- ANNA (V.O.): “♪ (softly) Come home. ♪” 😀</i>\n"
    assert clean_text(written)[0] == "(softly) Come home."


@pytest.mark.parametrize("line", KEPT)
def test_what_only_looks_like_markup_stays(line: str) -> None:
    assert clean(line) == line


#: A line typed where Anna and Hope are in the scene: who is named, and what is said.
TYPED = (
    ("Coffee: Black, please.", "", "Coffee: Black, please."),
    ("Breakfast: Two eggs and toast.", "", "Breakfast: Two eggs and toast."),
    ("Paris: The city of light.", "", "Paris: The city of light."),
    ("Rent: Four hundred a month.", "", "Rent: Four hundred a month."),
    ("Cats: They never listen.", "", "Cats: They never listen."),
    ("Tomorrow: We leave at dawn.", "", "Tomorrow: We leave at dawn."),
    ("Note: This is mine.", "", "Note: This is mine."),
    ("Plan B: Run.", "", "Plan B: Run."),
    ("Plan B: run.", "", "Plan B: run."),
    ("Next stop: Vienna.", "", "Next stop: Vienna."),
    ("Cause of death: Unknown.", "", "Cause of death: Unknown."),
    ("New York: Nobody sleeps there.", "", "New York: Nobody sleeps there."),
    ("- Coffee: Black, please.", "", "Coffee: Black, please."),
    ("(angrily) Coffee: Black, please.", "", "(angrily) Coffee: Black, please."),
    ('"Coffee: Black, please."', "", "Coffee: Black, please."),
    ("Tom: Where were you?", "", "Tom: Where were you?"),
    ("ANNA: hi", "ANNA", "hi"),
    ("Anna: Hi.", "Anna", "Hi."),
    ("Anna: hi there", "Anna", "hi there"),
    ("anna: hi there", "anna", "hi there"),
    ("Hope: Is that all?", "Hope", "Is that all?"),
    ("TOM: Where were you?", "TOM", "Where were you?"),
    ("GUARD #2: Halt!", "GUARD #2", "Halt!"),
    ("Tom (V.O.): where were you?", "Tom", "where were you?"),
    ("**Tom:** Where were you?", "Tom", "Where were you?"),
    ("Dr. Weber: Six months.", "Dr. Weber", "Six months."),
    ("Dr. Weber: come", "Dr. Weber", "come"),
    ("- Anna: Yes.", "Anna", "Yes."),
    ("10:30 is too late.", "", "10:30 is too late."),
)


@pytest.mark.parametrize(("typed", "name", "said"), TYPED)
def test_a_noun_before_a_colon_is_said_where_it_is_known_who_speaks(typed: str, name: str, said: str) -> None:
    assert speaker_of(typed, ["Anna", "Hope"]) == (name, said)


def test_a_line_says_what_it_took_a_name_for() -> None:
    assert LineRequest("Coffee: Black, please.").validated().text == "Black, please."
    ask = LineRequest.from_json({"text": "Coffee: Black, please.", "names": ["Anna"]})
    assert ask.text == "Coffee: Black, please." and "“Coffee” is nobody here and is spoken" in ask.warnings[0]
    assert LineRequest.from_json({"text": "Listen: I go.", "names": []}).warnings == ()
    with pytest.raises(InputError, match="'names' must be null or a list of names"):
        LineRequest.from_json({"text": "Coffee: Black.", "names": "Anna"})


def test_a_cleaned_line_is_clean() -> None:
    for _bare, marked in LINES:
        assert clean(clean(marked)) == clean(marked)
    assert clean("") == clean(" \n ") == ""


def test_a_line_that_holds_nothing_but_markup_is_refused_with_a_sentence() -> None:
    for text in ("<i></i>", r"{\an8}", "00:00:01,000 --> 00:00:02,000", "ANNA (V.O.)\n", "♪ ♪"):
        with pytest.raises(InputError, match="type"):
            clean_text(text)


def test_hostile_lines_are_cleaned_in_time_that_grows_with_their_length() -> None:
    hostile = ("<" * 9, "{\\" * 9, "(" * 9, "A " * 9, "- " * 9, "00:" * 9, "“" * 9, "&" * 9, "♪ " * 9, "ANNA: " * 9,
               "[0", "*_" * 9, "\\N", "A.", " ", "\n", ">> ", "12\n", "<i ", "(V.O.) ", '"')  # fmt: skip
    start = time.process_time()
    for piece in hostile:
        clean(piece * (40_000 // len(piece)))
    assert time.process_time() - start < 5.0


def test_names_of_speakers_are_told_from_sentences() -> None:
    assert speaker_of("ANNA: Yes.") == ("ANNA", "Yes.")
    assert speaker_of("OLD MAN (V.O.): Yes.") == ("OLD MAN", "Yes.")
    assert speaker_of("Anna (O.S.) (CONT'D)\nYes.") == ("Anna", "Yes.")
    assert speaker_of("Listen: Yes.") == ("", "Listen: Yes.")
    assert speaker_of(f"{'A' * (MAX_NAME + 1)}: Yes.")[0] == ""


@pytest.fixture(scope="module")
def performed() -> Callable[[str], tuple[str, tuple[str, ...], int]]:
    from generator.performing.load import load_performer

    performer = load_performer(device="numpy")

    def perform(text: str) -> tuple[str, tuple[str, ...], int]:
        """Emotion of a line's take, of each of its passages, and its length in frames."""
        (clips,) = performer.perform([LineRequest(text, seed=3).validated()])
        assert np.isfinite(clips.values).all()
        return clips.emotion, tuple(s["emotion"] for s in clips.segments[0]), int(clips.lengths[0])

    return perform


@pytest.mark.parametrize("place", range(4, len(LINES), 12), ids=lambda place: LINES[place][0])
def test_markup_changes_neither_emotion_nor_length(
    place: int, performed: Callable[[str], tuple[str, tuple[str, ...], int]]
) -> None:
    bare, marked = LINES[place]
    assert performed(marked) == performed(bare)


def test_what_is_performed_does_depend_on_the_words(
    performed: Callable[[str], tuple[str, tuple[str, ...], int]],
) -> None:
    assert performed("I got the job!") != performed("I failed the exam again.")
