# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts are read from every format, whole or broken, in every encoding, with the numbers of their lines."""

from __future__ import annotations

import random
import time

import pytest

from generator.shared.scripts import SUFFIXES, Script, ScriptError, read_script
from generator.shared.scripts.decoding import MAX_BYTES

FOUNTAIN = """Title: The Kitchen
Author: Nobody
    in particular

FADE IN:

INT. KITCHEN - NIGHT

ANNA cuts bread. /* an old
idea */ [[remember the
knife]]

ANNA (V.O.)
(quietly)
I told you not to come back here.
(beat)
Not *ever*.

@McTavish
It's my house, too. [[his?]]

TOM ^
What a mess!

!BANG THE DOOR
is shut.

OLD MAN (CONT'D)
~Sleep, little darling,
\x20\x20
~the night is long.

.ANOTHER PLACE

NOISE

> CUT TO:
"""

FDX = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<FinalDraft DocumentType="Script" Version="5">
  <Content>
    <Paragraph Type="Scene Heading"><SceneProperties><Paragraph><Text>notes</Text></Paragraph></SceneProperties>
      <Text>INT. KITCHEN</Text></Paragraph>
    <Paragraph Type="Character"><Text>ANNA (CONT'D)</Text></Paragraph>
    <Paragraph Type="Parenthetical"><Text>(quietly)</Text></Paragraph>
    <Paragraph Type="Dialogue"><Text>I told you </Text><Text Style="Italic">not</Text><Text> to come &amp; stay.</Text>
      <ScriptNote><Paragraph><Text>really?</Text></Paragraph></ScriptNote></Paragraph>
    <Paragraph><DualDialogue>
      <Paragraph Type="Character"><Text>TOM</Text></Paragraph>
      <Paragraph Type="Dialogue"><Text>Hello.</Text></Paragraph>
      <Paragraph Type="Character"><Text>EVE</Text></Paragraph>
      <Paragraph Type="Dialogue"><Text>Bye!</Text></Paragraph>
    </DualDialogue></Paragraph>
    <Paragraph Type="Character"><Text>GHOST</Text></Paragraph>
    <Paragraph Type="Action"><Text>Nothing happens.</Text></Paragraph>
  </Content>
  <TitlePage><Content><Paragraph Type="Dialogue"><Text>The Kitchen</Text></Paragraph></Content></TitlePage>
</FinalDraft>
"""

SRT = """1
00:00:01,000 --> 00:00:02,500
{\\an8}<i>Where were you
last night?</i>

2
00:00:03,000 --> 00:00:04,000
- Out.
- Out where?

3
00:00:05,000 --> 00:00:06,000 X1:10 X2:20
[DOOR SLAMS]
4
00:00:07,000 --> 00:00:06,000
TOM: ♪ (softly) Goodbye. ♪

5
0:08 -> 0:09
See you.

6
00:00:10,000 --> what
Lost?

words of nobody
"""

VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE not this: 00:01

first
00:01.000 --> 00:02.000 align:start position:10%
<v Anna>Where were you?</v>

00:03.000 --> 00:04.000
<v.loud Tom>Out. <v Anna>Out <b>where</b>?
"""


def said(script: Script) -> list[tuple[int, str, str]]:
    return [(line.number, line.speaker, line.text) for line in script.lines]


def noted(script: Script) -> str:
    return "\n".join(f"{note.number}: {note.text}" for note in script.notes)


def test_fountain() -> None:
    script = read_script(FOUNTAIN.encode(), "kitchen.fountain")
    assert script.format == "fountain"
    assert said(script) == [
        (14, "ANNA", "(quietly) I told you not to come back here. (beat) Not *ever*."),
        (20, "McTavish", "It's my house, too."),
        (23, "TOM", "What a mess!"),
        (29, "OLD MAN", "Sleep, little darling, the night is long."),
    ]
    assert "22: TOM speaks at the same time as McTavish" in noted(script)
    assert "5: 8 lines of headings, action and transitions from here on: not read" in noted(script)


def test_fountain_with_remarks_that_nobody_closed_is_read_all_the_same() -> None:
    script = read_script(b"ANNA\nYes. [[why\n\nTOM\nNo. /* never\n", "x.fountain")
    assert said(script) == [(2, "ANNA", "Yes. why"), (5, "TOM", "No. never")]
    assert "2: The note" in noted(script) and "5: What is struck out" in noted(script)


def test_final_draft() -> None:
    script = read_script(FDX.encode(), "kitchen.fdx")
    assert said(script) == [
        (8, "ANNA", "(quietly) I told you not to come & stay."),
        (12, "TOM", "Hello."),
        (14, "EVE", "Bye!"),
    ]
    assert "16: GHOST says nothing here." in noted(script)
    assert read_script(FDX.replace("UTF-8", "UTF-16").encode("utf-16"), "a.FDX").lines == script.lines


def test_a_final_draft_file_that_breaks_off_is_read_up_to_there() -> None:
    script = read_script(FDX[: FDX.index("Bye!")].encode(), "kitchen.fdx")
    assert [line.text for line in script.lines][-1] == "Hello."
    assert "14: The XML is broken here" in noted(script)


def test_xml_with_entities_or_of_another_kind_is_refused() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE FinalDraft [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    start = time.process_time()
    with pytest.raises(ScriptError, match=r"bomb\.fdx declares entities"):
        read_script((bomb + FDX[FDX.index("<FinalDraft") :]).encode(), "bomb.fdx")
    outside = '<!DOCTYPE FinalDraft [<!ENTITY x SYSTEM "file:///etc/passwd">]><FinalDraft>&x;</FinalDraft>'
    with pytest.raises(ScriptError, match="declares entities"):
        read_script(outside.encode(), "outside.fdx")
    assert time.process_time() - start < 1.0
    with pytest.raises(ScriptError, match=r"page\.fdx is XML and no Final Draft"):
        read_script(b"<html><body>Hi</body></html>", "page.fdx")
    with pytest.raises(ScriptError, match="no Final Draft file"):
        read_script(b"ANNA: Hi", "page.fdx")


def test_subtitles() -> None:
    script = read_script(SRT.encode(), "film.srt")
    assert said(script) == [
        (3, "", "Where were you last night?"), (8, "", "Out."), (9, "", "Out where?"), (16, "TOM", "(softly) Goodbye."),
        (20, "", "See you."), (24, "", "Lost?"),
    ]  # fmt: skip
    assert [(line.start, line.end) for line in script.lines] == [
        (1.0, 2.5), (3.0, 4.0), (3.0, 4.0), (7.0, None), (8.0, 9.0), (None, None),
    ]  # fmt: skip
    notes = noted(script)
    assert "13: [DOOR SLAMS] is a sound" in notes and "15: It ends before it begins" in notes
    assert "23: “00:00:10,000 --> what” is no time" in notes and "26: “words of nobody” is in no subtitle" in notes


def test_subtitles_of_the_web() -> None:
    script = read_script(VTT.encode(), "film.vtt")
    assert said(script) == [(10, "Anna", "Where were you?"), (13, "Tom", "Out."), (13, "Anna", "Out where?")]
    assert script.lines[0].start == 1.0 and script.notes == ()


def test_tables() -> None:
    head = "Start;Character;Dialogue;Emotion\n"
    rows = head + '1,5;ANNA;"I told you; ""never"".";angry\n\n0:02.5;TOM;Hi.;\nx;EVE;;\ny;EVE;A;'
    script = read_script(rows.encode(), "lines.csv")
    assert said(script) == [(2, "ANNA", '(angry) I told you; "never".'), (4, "TOM", "Hi."), (6, "EVE", "A")]
    assert [line.start for line in script.lines] == [1.5, 2.5, None]
    assert "5: This row has no words" in noted(script) and "6: The start 'y' is no time" in noted(script)
    tabs = read_script(b"speaker\ttext\nANNA\tWait, what?\n", "lines.tsv")
    assert said(tabs) == [(2, "ANNA", "Wait, what?")]
    assert said(read_script(b"ANNA,Hello.\nTOM,Bye.\n", "two.csv")) == [(1, "ANNA", "Hello."), (2, "TOM", "Bye.")]
    assert said(read_script(b"Hello.\nBye.\n", "one.csv")) == [(1, "", "Hello."), (2, "", "Bye.")]
    assert said(read_script(b'text\n"Two\nlines"\n', "x.csv")) == [(2, "", "Two\nlines")]
    with pytest.raises(ScriptError, match=r"x\.csv has no column for the words; call one of them 'text' \(a, b, c\)"):
        read_script(b"a,b,c\n1,2,3\n", "x.csv")


def test_a_quotation_mark_that_nobody_closed_costs_its_row_alone() -> None:
    script = read_script(b'name,text\nANNA,"Hello.\nTOM,Bye.\nEVE,"a"b"\n' + b"TOM,So.\n" * 200, "x.csv")
    assert said(script)[:3] == [(2, "ANNA", "Hello."), (3, "TOM", "Bye."), (4, "EVE", 'a"b')]
    assert len(script.lines) == 203
    assert "2: The quotation marks of this row do not fit" in noted(script)


def test_plain_text() -> None:
    text = (
        "[a kitchen]\nANNA: (quietly) I told you\n   not to come.\n\nTom: Listen: I am not going.\n**EVE:** Why?\n"
        "Narrator voice of this: the end\n\nNobody said this.\nListen: Nobody did.\nTOM (V.O.): Oh.\n"
        "CAT:\nMeow.\n\nDOG:"
    )
    script = read_script(text.encode(), "play.txt")
    assert said(script) == [
        (2, "ANNA", "(quietly) I told you not to come."),
        (5, "Tom", "Listen: I am not going."),
        (6, "EVE", "Why? Narrator voice of this: the end"),
        (9, "", "Nobody said this."),
        (10, "", "Listen: Nobody did."),
        (11, "TOM", "Oh."),
        (12, "CAT", "Meow."),
    ]
    assert "15: DOG says nothing here." in noted(script)
    assert "1: 1 line of headings and remarks: not read, because nobody says it." in noted(script)


def test_names_in_small_letters_are_names_where_they_come_again() -> None:
    assert [line.speaker for line in read_script(b"anna: yes.\nlet me see: no.\nanna: no.\n", "a.txt").lines] == [
        "anna",
        "anna",
    ]


def test_a_text_without_names_is_lines_of_nobody() -> None:
    script = read_script(b"I told you.\nListen: go home.\n\n- Why?\n", "a.txt")
    assert said(script) == [(1, "", "I told you."), (2, "", "Listen: go home."), (4, "", "Why?")]


def test_a_txt_file_is_looked_into() -> None:
    for text, form in ((FOUNTAIN, "fountain"), (FDX, "fdx"), (SRT, "srt"), (VTT, "vtt"), ("ANNA: Hi.", "text")):
        assert read_script(text.encode(), "pasted.txt").format == form
        assert read_script(text.encode(), "pasted.txt").lines


@pytest.mark.parametrize(
    ("encoding", "mark", "told"),
    [
        ("utf-8", b"", ""), ("utf-8-sig", b"", ""), ("utf-16", b"", ""), ("utf-16-le", b"", "read as UTF-16"),
        ("utf-16-be", b"", "read as UTF-16"), ("utf-16-be", b"\xfe\xff", ""), ("latin-1", b"", "Windows-1252"),
        ("utf-32", b"", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(encoding: str, mark: bytes, told: str, ends: str) -> None:
    text = "ANNA: First.\nZOË: Café à la crème?\n".replace("\n", ends)
    script = read_script(mark + text.encode(encoding), "a.txt")
    assert said(script) == [(1, "ANNA", "First."), (2, "ZOË", "Café à la crème?")]
    assert told in noted(script) and bool(told) == bool(script.notes)


def test_what_is_no_script_is_refused_with_its_name() -> None:
    for data, name, words in (
        (b"x", "take.docx", "no script that can be read; choose a .fountain"),
        (b"x", "nothing", "no script that can be read"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0", "a.txt", "not a text"),
        (b"Hello there.", "a.srt", "no times such as"),
        (b"a" * (MAX_BYTES + 1), "a.txt", "may have 20"),
    ):
        with pytest.raises(ScriptError, match=f"{name} .*{words}"):
            read_script(data, name)
    for suffix in SUFFIXES:
        if suffix not in (".fdx", ".srt", ".vtt"):
            assert "No line of dialogue" in noted(read_script(b"", f"empty{suffix}"))


@pytest.mark.parametrize("name", ["a.fountain", "a.fdx", "a.srt", "a.vtt", "a.csv", "a.txt"])
def test_ten_thousand_lines_are_read_in_linear_time(name: str) -> None:
    one = {
        "a.fountain": "ANNA (V.O.)\n(quietly)\nI told you not to come back, number {k}.\n\n",
        "a.fdx": '<Paragraph Type="Character"><Text>ANNA</Text></Paragraph>'
        '<Paragraph Type="Dialogue"><Text>I told you, number {k}.</Text></Paragraph>\n',
        "a.srt": "{k}\n00:00:01,000 --> 00:00:02,000\n<i>I told you not to come back, number {k}.</i>\n\n",
        "a.vtt": "00:01.000 --> 00:02.000\n<v Anna>I told you not to come back, number {k}.\n\n",
        "a.csv": "ANNA,I told you not to come back; number {k}.\n",
        "a.txt": "ANNA: I told you not to come back, number {k}.\n",
    }[name]
    text = "".join(one.replace("{k}", str(k)) for k in range(10_000))
    head, tail = {"a.fdx": ("<FinalDraft><Content>", "</Content></FinalDraft>"), "a.vtt": ("WEBVTT\n\n", "")}.get(
        name, ("", "")
    )
    data = (head + text + tail).encode()
    fastest = 9.0
    for _ in range(3):
        start = time.process_time()
        script = read_script(data, name)
        fastest = min(fastest, time.process_time() - start)
        if fastest < 2.0:
            break
    assert len(script.lines) == 10_000 and script.lines[-1].text.endswith("number 9999.")
    assert fastest < 4.0  # half a second when nothing else runs; in quadratic time, minutes


def test_hostile_files_end_in_lines_or_a_sentence() -> None:
    random.seed(7)
    whole = {
        "a.fountain": FOUNTAIN,
        "a.fdx": FDX,
        "a.srt": SRT,
        "a.vtt": VTT,
        "a.csv": 'name,text\nA,"x\ny"\n',
        "a.txt": SRT,
    }
    for round_ in range(400):
        name = random.choice(list(whole))
        data = bytearray(whole[name].encode())
        for _ in range(random.randint(1, 12)):
            place = random.randrange(len(data))
            what = random.choice(
                [b"\0", b"\xff", b'"', b"<", b"-->", b"\n\n", b"[[", b"/*", b"9" * 400, b"&#x0;", b":", b"\x80"]
            )
            data[place : place + random.randint(0, 9)] = what
        told = ""
        try:
            script = read_script(bytes(data), name)
        except ScriptError as error:
            told = str(error)
        assert not told or (name in told and "Error:" not in told), (round_, told)
        assert told or all(line.text and line.number >= 1 for line in script.lines)
        assert told or script.lines or script.notes


def test_the_time_of_anything_grows_with_its_length() -> None:
    pieces = (b'"', b'A,"x\n', b"[[", b"/*", b"A\nb\n\n", b"-->\n", b"00:00 --> 00:01\n", b"A: ", b"A:\n", b"<v A>",
              b"- a\n", b"(", b"\n", b" ", b"\t", b"*", b"\xff")  # fmt: skip
    start = time.process_time()
    for piece in pieces:
        for suffix in (".fountain", ".srt", ".csv", ".txt"):
            read_script(b"00:00 --> 00:01\n" + piece * (40_000 // len(piece)), f"a{suffix}")
    assert time.process_time() - start < 40.0  # 68 files; one of them in quadratic time takes minutes


def test_who_writes_names_in_capitals_names_nobody_in_small_letters() -> None:
    script = read_script(b"ANNA: Anything else?\nTOM: Yes.\nCoffee: Black, please.\nANNA: Fine.\n", "a.txt")
    assert [(line.speaker, line.text) for line in script.lines] == [
        ("ANNA", "Anything else?"), ("TOM", "Yes. Coffee: Black, please."), ("ANNA", "Fine."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "Anna: Anything else?\nTom: Yes.\nCoffee: Black, please.\n"),
        ("a.txt", "ANNA: Anything else?\nTom: Yes.\nCOFFEE: Black, please.\n"),
        ("a.csv", 'text\nTom: Yes.\n"Coffee: Black, please."\n'),
        (
            "a.srt",
            "00:00:01,000 --> 00:00:02,000\nTom: Yes.\n\n00:00:03,000 --> 00:00:04,000\nCoffee: Black, please.\n",
        ),
    ],
)
def test_words_that_were_taken_for_a_name_can_be_said(name: str, text: str) -> None:
    taken = read_script(text.encode(), name)
    assert [line.text for line in taken.lines if line.speaker.upper() == "COFFEE"] == ["Black, please."]
    said = read_script(text.encode(), name, ["Coffee"])
    assert "OFFEE" not in "".join(line.speaker.upper() for line in said.lines)
    assert said.lines[-1].text.casefold().endswith("coffee: black, please.")
