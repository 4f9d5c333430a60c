# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bracket in a line is: an emotion or manner, an action, a note for somebody else, or words that are said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..shared.timeline import LANGUAGES
from .actions import ASSERTIVE, NO_MANNERS, Action, action_table, is_business, is_staged, read_action
from .narration import LEADING, narrated
from .notation import Meaning, plain, read_notation, read_words

#: Longest direction, in words: one that is played, and one that is not.
_MAX_WORDS, _MAX_NOTE = 6, 60
#: What parts a direction into pieces.
_PIECES: Final = re.compile(
    r"\s*(?:[,;:/]|--+|[–—]|(?<!\bMr)(?<!\bMrs)(?<!\bDr)\.(?=\s))\s*(?:(?:and|then|but|yet)\s+)*"
    r"|\s+(?:and|but|then|while)\s+(?:then\s+)?",
    re.IGNORECASE,
)
#: A comma that parts no pieces: "with a short, bitter laugh".
_ADJECTIVES: Final = re.compile(r"\b((?:with|in) an? [\w-]+),(?= [\w-]+ [\w-]+)")
#: Who speaks of these is speaking.
_SPEAKS: Final = re.compile(
    r"\b(?:i|you|we|me|us|my|your|our|mine|yours|i'm|i've|i'll|i'd|you're|you've|we're|let's|don't|didn't|can't|"
    r"won't|it's|that's|was|were|please|thanks|yes|never|always)\b"
)
#: How spoken words begin.
_SAID: Final = re.compile(
    r"(?:and|or|but|because|if|so|well|oh|no|what|why|who|how|when|where|which|that|this|these|those|not "
    r"(?!\w+ing\b)|thank|sorry|maybe|perhaps|please|ok|okay|hey|hello|of course|at least|for example|for instance|by "
    r"the way|in fact|to be|to tell|to say|in case|as if|as though|as usual|like|just|about time|see|thank god|no "
    r"offence|twice|once|again|whatever|seriously|honestly|always|never|sometimes|the|an?|my|our|your"
    rf"|{'|'.join(sorted(ASSERTIVE))})\b"
)
_LANGUAGES: Final = "|".join(
    [*(name.lower() for name in LANGUAGES.values()), "mandarin", "cantonese", "chinese", "japanese", "korean", "arabic",
     "hebrew", "hindi", "urdu", "farsi", "persian", "latin", "gaelic", "irish", "welsh", "scots", "yiddish", "swahili",
     "vietnamese", "thai", "tagalog", "bengali", "punjabi", "klingon", "elvish", "sign language", "asl", "bsl",
     "dialect", "slang", "pidgin", "gibberish", "code", "unison", "his native language", "her native language",
     "a foreign language", "norse", "serbian", "croatian", "bulgarian", "icelandic", "afrikaans", "zulu"]
)  # fmt: skip
#: Whole directions that are for somebody else: where the voice is, how it is recorded, cut or shown.
_NOTES: Final = re.compile(
    r"o\.?\s?[sc]\.?|v\.?\s?o\.?|off(?:[- ]?(?:screen|camera|stage|mic))?|on[- ]?(?:screen|camera)|voice[- ]?over|"
    r"cont(?:'d|d|\.)?|continu(?:ing|es|ed|ous)|more|subtitled?|with subtitles|aside|filtered|pre-?lap|overlapping|"
    r"simultaneous(?:ly)?|together|as before|(?:in|with) the same .+|at the same (?:time|moment)|(?:seated|still "
    r"(?:seated|standing|sitting|kneeling))(?: .+)?|ad[- ]?libs?|same|resum(?:ing|es)|(?:interrupt|interpos|"
    r"interject|interven)(?:ing|e?s)(?: .+)?|(?:breaking|breaks|chiming|chimes) in(?: .+)?|cutting (?:in|.+ off)|"
    r"cuts (?:in|.+ off)|flashback|recorded|distorted|muffled|unseen|out of (?:view|sight|shot)|pre-?recorded|"
    r"translat(?:ing|es|ed)(?: .+)?|(?:still |now )?(?:read|sing|quot|recit|dictat|typ|writ|address|imitat|mimick|"
    r"imperson|rapp|chant|speak|talk|count|introduc|answer|continu|repeat|correct|explain|mean|referr|mouth)ing(?: "
    r".+)?|(?:reads|sings|quotes|recites|addresses|imitates|mimics|answers|repeats|speaks|mouths)(?: .+)?|"
    rf"(?:(?:speaking|speaks|talking) )?(?:in )?(?:\w+ )?(?:{_LANGUAGES})(?: with .+)?|"
    r"(?:in|with|doing|putting on|affecting) (?:an? )?(?:\S+ ){0,4}(?:accent|dialect|lilt|drawl|brogue|impression|"
    r"falsetto)(?: of .+)?"
)
#: What is heard or seen on the stage.
_EFFECTS: Final = re.compile(
    r".+ (?:is|are) heard(?: .+)?|(?:uproar|shouts|cries|cheers|murmurs|hisses|hubbub|noise|laughter and|shouts "
    r"and)(?:,? .+)?|applause|curtain|tableau|music|thunder|knock(?:ing|s)?|(?:an? |the )?(?:\w+ )?(?:sound|noise|"
    r"knock|ring|clap|crash|murmur)s? (?:of|at|on|from|off) (?!laugh).+"
)
#: Prepositions that begin a note: "into the radio", "from the kitchen".
_WHERE: Final = re.compile(
    r"(?:into|onto|over|through|via|from|off|re|re:|regarding|about|across|toward|towards|at|on|as|behind|under|"
    r"inside|outside|"
    r"by|near|after|before|during|for|among|between|in|with|without|beside|next to|above|below|up|down|against|"
    r"referring to|offering|wearing|dressed|back to|out of)\s+\S.*"
)
#: How and where somebody stands: "hat in hand", "arms folded", "at the window".
_BEARING: Final = re.compile(
    r"(?:(?:his|her|their|with|the) )?(?:[\w-]+ ){1,4}(?:in|on|under|behind|to|over|round|around) "
    r"(?:(?:his|her|their|the|each) )?"
    r"(?:hands?|arms?|lap|knees?|back|shoulders?|heads?|mouth|lips|hips?|pockets?|face|eyes|neck|heart|waist)"
    r"|(?:hands?|arms?|legs?) (?:\w+ )?(?:crossed|folded|outstretched|raised|clasped|up|akimbo)"
    r"|without (?!looking \w+ly)\w+ing(?: .+)?"
    r"|(?:at|from|near|beside|behind|outside|inside|across|by) (?:the|his|her) [\w-]+"
)
#: What does something by itself: "her lip trembling", "both hands open".
_OF_THEIRS: Final = re.compile(
    r"(?:(?:his|her|their|with|both) )+[\w-]+ (?:(?:\w+(?:ed|ing)|shut|open|up|down|wide)(?: .+)?|"
    r"(?:on|in|at|against|over|to|under) .+)"
)
#: A manner: "languidly", "very solemnly", "visibly moved"; but none of `NO_MANNERS`.
_MANNER: Final = re.compile(
    r"(?:(?:very|rather|quite|almost|barely|scarcely|also|still|somewhat|a little|more|most|half|so|too|equally) "
    r")?(\w{3,}ly)|(\w+ly|much) \w+ed"
)
#: Prepositions that begin a direction even where it is written like a sentence, unless they say when or how sure.
_SET: Final = re.compile(
    r"(?:with|without|in|at|from|to|through|towards?|behind|across|over|under|beside|near|into|out of|after|against|"
    r"on|off|round) (?:an? |the |his |her |their |some |evident |great |much |growing |mock |real |deep |[\w-]+ing "
    r")(?!(?:minutes?|moment(?!')|seconds?|hours?|days?|weeks?|months?|years?|mornings?|evenings?|afternoons?|"
    r"nights?|time|end|past|future|meantime|meanwhile|pleasure|contrary|same|way|other hand|first|last|least|most|"
    r"case)\b).+|(?:with|without) (?!(?:pleasure|respect|luck|reason|sugar|milk|cream|ice|love)\b).+"
)
#: Adverbs by which who speaks judges what is said.
_REMARKS: Final = frozenset(
    "sadly happily thankfully gladly gratefully mercifully curiously kindly slowly quickly".split()
)
#: What is done and never said of something, in the middle of a clause.
_DOES: Final = re.compile(
    r"(?:(?:he|she) )?\w+s (?:it |them )?"
    r"(?:up|down|off|away|back|(?:to )?(?:his|her|him|them)|himself|herself|to the|[A-ZÀ-Þ]\w+)\b"
)
#: A state before what it comes from.
_STATE: Final = re.compile(
    r"((?:(?:\w+ly|very|much|quite|a little|more|half|too|so|rather) )?(?:cast down|taken aback|at a loss|[\w-]+))"
    r"(?: (?:by|at|of|in|with|over|that|from|because|as|which|what|whether|how)|,? but| --?) \w.+"
    r"|(\w+ly \w+|too \w+) to \w.+"
)
#: What comes before a state.
_BECOMING: Final = re.compile(
    r"^(?:(?:he|she|they) (?:is|are) (?:both |all )?)?(?:(?:is|are|both|has been|becoming|becomes|growing|grows|"
    r"getting|gets|feeling|evidently|obviously|now|still|again|also|once more|with an air of being|as if|as though) "
    r")*"
)
#: What a phrase that names a feeling begins with.
_PHRASE: Final = re.compile(
    r"(?:with|in|full of|filled with|out of|radiant with|trembling with|beside \w+ with) (?!the |his |her )|"
    r"(?:\w+ing |with |in )(?:(?:his|her|their|an?) )?(?:\w+ )?(?:sense|feeling|air|fit|burst|outburst|pang|flash|"
    r"show) of |on the (?:point|verge|brink) of |(?:his|her|their) [\w ]+ (?:of|with) |(?:with|unable to \w+|trying "
    r"to \w+|controlling|mastering) (?:his|her|their) "
)
#: Where a sentence ends within a direction.
_SENTENCES: Final = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<![A-Z])[.;]\s+(?=[A-Z])")
#: How an action is done, said after it.
_HOW: Final = re.compile(r"(?:but |only |very |just )*(\w+ly|a little|a bit)")
#: The same of what no face plays, and what "with a start" does.
_DONE_HOW: Final = re.compile(r"\b(?:(?:in|with) (?:(?!in |with ).)+|\w+ly)\W*$", re.IGNORECASE)
_WITH_A: Final = re.compile(r"with an? ", re.IGNORECASE)
#: To whom: "to Anna", "aside to the audience", "to himself".
_TO_WHOM: Final = re.compile(
    r"(?:(turning|turns|aside|calling|calls|speaking|talking|again|back|now|then|half|almost|partly|more|as if|"
    r"whispering|whispers|muttering|mutters|\w+ly) )?to (.+)",
    re.IGNORECASE,
)
#: How, after whom it is said to, and what else is told of them: "Anna, with dignity", "Mrs. Pearce, who is waiting".
_TO_HOW: Final = re.compile(r"(.+?)(?:,? (\w+ly|(?:with|in) .+|who .+))?")
#: The same in the middle of a clause, where "to Anna" alone may be said: somebody turns to a name or to him or her.
_TURNS_TO: Final = re.compile(
    r"(?:(?i:turning|turns|aside|calling|calls|whispering|whispers|muttering|mutters)(?: \w+ly)?) "
    r"(?:to|towards?) (?:face )?"
    r"(?P<whom>[A-ZÀ-Þ]\S*(?: [A-ZÀ-Þ]\S*){0,3}|him|her|them|the \w+|himself|herself|each other)"
)
#: "to" before a verb is no address.
_TO_DO: Final = re.compile(
    r"to (?:be|tell|say|put|think|begin|start|make|cut|go|get|have|see|do|use|give|take|hear|sum)\b.*"
)


def understand(words: str, nearest: Callable[[str], Meaning | None] | None = None) -> Meaning | None:
    """What bracketed ``words`` direct; None where they are said.

    Args:
        words: without their brackets.
        nearest: what unknown words mean (`NearestDirection.find`); without it they are judged by their form alone.

    Raises:
        InputError: an intensity out of range.
    """
    done = Meaning(None, actions=(Action(None),), kind="action")
    first, *more = _SENTENCES.split(words)
    if len(words.split()) > _MAX_NOTE:  # nobody says so much in brackets, unless of "I" and "you"
        return None if _SPEAKS.search(plain(words)) else done
    if (meaning := read_words(words) or read_notation(words)) is not None:
        return _with_actions(meaning, words)
    if _with_an_action(words) is None and (felt := _felt(words)) is not None:
        return felt
    if (note := _note(words)) is not None:
        return note
    if narrated(words) == "note" or _EFFECTS.fullmatch(plain(first)):
        return Meaning(None, note=True, kind="note")
    if (leading := LEADING.match(words)) and (rest := understand(words[leading.end() :], nearest)) is not None:
        return rest
    words = _ADJECTIVES.sub(r"\1 ", words)
    pieces = [piece for piece in _PIECES.split(words.strip()) if piece.strip()]
    read = [_piece(piece) for piece in pieces]
    exclaimed = re.search(r"[!?]\W*$", words) is not None  # "going up?" is no doing
    for k, piece in enumerate(pieces):  # where there is another thing in it, a place is one: "behind the chair, softly"
        if (
            read[k] is None
            and any(read)
            and not LEADING.match(piece)
            and _WHERE.fullmatch(plain(piece))
            and not _SAID.match(plain(piece))
        ):
            read[k] = Meaning(None, note=True, kind="note")
    begins = not (_SPEAKS.search(plain(words)) or _SAID.match(plain(words))) and any(
        piece is not None and (k == 0 or piece.directs) for k, piece in enumerate(read)
    )
    if any(read) and (None not in read or begins or not _is_said(words)) and not (exclaimed and not _has_named(read)):
        return _joined(pieces, [piece or _nearest(text, nearest) for text, piece in zip(pieces, read, strict=True)])
    if narrated(words):
        return _business(words)
    if more and not _SPEAKS.search(plain(words)) and (begun := understand(first, nearest)) is not None:
        return begun
    if _is_said(words):
        return None
    if (where := _placed(words, nearest)) is not None:
        return where
    if is_business(words):
        # Who is doing something with an -ing may be feeling something: "clenching his fists".
        gerund = re.match(r"\w+ing\b", words.lower()) is not None and not is_staged(words)
        return (gerund and _nearest(words, nearest)) or done
    if (near := _nearest(words, nearest)) is not None:
        return near
    # A manner, how somebody stands, or a word alone in small letters that nobody here knows: it is not spoken.
    unknown = _is_formed(words) or re.fullmatch(r"[a-z][a-z-]+", words)
    return Meaning(None, note=True, kind="note") if unknown else None


def understand_within(words: str) -> Meaning | None:
    """What bracketed ``words`` in the middle of a clause direct: actions and notes that cannot be an aside."""
    if len(words.split()) > _MAX_NOTE:
        return None
    if turned := _TURNS_TO.fullmatch(words.strip()):
        return Meaning(None, note=True, to=turned["whom"], kind="note")
    if (note := _note(words)) is not None and re.fullmatch(_NOTES, plain(words)) and words.lower() != "together":
        return note
    pieces = [piece for piece in _PIECES.split(words.strip()) if piece.strip()]
    if pieces and all(_is_beside(piece) for piece in pieces):
        return _joined(pieces, [_piece(piece) for piece in pieces])
    actions = [read_action(piece) for piece in pieces]
    inflected = re.match(
        r"\W*(?:\w+\s+){0,2}\w+(?:s|ing)\b|\W*(?:a\s+)?(?:\w+\s)?(?:pause|beat|sigh|silence)\b", words.lower()
    )
    if not pieces or None in actions or not inflected:
        return None
    return Meaning(None, actions=tuple(action for action in actions if action), kind="action")


def _is_beside(words: str) -> bool:
    """Whether no aside is written so: "(proudly)", "(with a short laugh)", "(taking her arm)", "(sits down)"."""
    said = plain(words)
    if re.fullmatch(r"(?:very |quite |half )?\w+ly|with \w+ .+", said):
        return said not in _REMARKS and (read_words(said) or _felt(words) or _with_an_action(words)) is not None
    return len(said.split()) > 1 and (is_staged(words) or _DOES.match(words.strip()) is not None) and is_business(words)


def _felt(words: str) -> Meaning | None:
    """A state with what it comes from ("ashamed of herself"), or a phrase that names it ("with tears in her eyes")."""
    said = plain(words)
    if _SPEAKS.search(said) or re.search(r"[!?]\W*$", words):
        return None
    said = _BECOMING.sub("", said)
    state = _STATE.match(said)
    head = (state[1] or state[2]) if state else said
    for how in (head, re.sub(r"^(?:\w+ly|too) ", "", head)):
        if (felt := read_words(how)) is not None and felt.emotion and how != plain(words):
            return _with_actions(felt, words)
    if (phrase := _PHRASE.match(said)) is None:
        return None
    named: list[tuple[Meaning, bool]] = []
    for part in re.split(r"\b(?:of|in|at|on|for|and|by|to|from|that|as)\b", said[phrase.end() :]):
        read = [read_words(word) for word in part.split()]
        named += [(one, one is read[-1]) for one in read if one is not None][-1:]
    # The last word is the noun: "with grave irony", "with a violent movement of terror".
    return next((one for one, noun in named if noun), named[0][0] if named else None)


def _with_actions(meaning: Meaning, words: str) -> Meaning:
    """Who is laughing laughs: an emotion's word that is an action as well."""
    if meaning.barred or re.match(
        r"(?:trying|tries|struggling|fighting|holding|choking|biting|suppress|stifl|hid)", plain(words)
    ):
        return meaning
    found = (read_action(piece) for piece in _PIECES.split(words))
    return meaning.then(Meaning(None, actions=tuple(action for action in found if action is not None)))


def _piece(words: str) -> Meaning | None:
    if (felt := read_words(words)) is not None:
        return _with_actions(felt, words)
    if _with_an_action(words) is None and (felt := _felt(words)) is not None:
        return felt
    if (note := _note(words)) is not None:
        return note
    action = read_action(words, plainly=_WITH_A.match(words) is not None)
    action = action or _with_an_action(words)
    if action is None or action.name is None:
        return _business(words) if is_business(words) else None
    meaning = Meaning(None, actions=(action,), kind="action")
    manner = re.sub(r"^(?:in|with|of)\s+", "", action.manner)
    if manner and (felt := read_words(manner)) is not None:  # "smiles sadly", "gasps in horror"
        return meaning.then(felt)
    feels = action_table()[action.name].get("feels")
    return meaning.then(Meaning(feels)) if feels and action.goes_on else meaning


def _with_an_action(words: str) -> Action | None:
    """What is done "with an audible sigh", "with a short, bitter laugh"."""
    what = _WITH_A.match(words)
    tails = re.split(r",? +", words[what.end() :]) if what else []
    return next((one for k in (0, 1, 2) if (one := read_action(" ".join(tails[k:]), plainly=True))), None)


def _business(words: str) -> Meaning:
    """Something that no face plays, and how: "rises in great agitation", "turns to him with a cold smile"."""
    done = Meaning(None, actions=(Action(None),), kind="action")
    how = _DONE_HOW.search(words)
    felt = how and read_words(how[0])
    # Who sits down slowly does not speak slowly.
    return done.then(_with_actions(felt, how[0])) if how and felt and felt.emotion else done


def _joined(pieces: list[str], read: list[Meaning | None]) -> Meaning:
    whole, *rest = (piece or Meaning(None, note=True, kind="note") for piece in read)
    for words, piece in zip(pieces[1:], rest, strict=True):
        how = _HOW.fullmatch(plain(words))
        if whole.actions and how and (again := read_action(f"nod {how[1]}")) is not None:
            # "smiles, but only briefly": how that is done.
            *others, done = whole.actions
            done = replace(done, size=done.size * again.size, pace=done.pace * again.pace)
            whole = replace(whole, actions=(*others, done))
            if piece.note or again.size * again.pace != 1.0:
                continue
        placed = whole.kind == "note" and whole.to is None and not whole.actions
        whole = whole.then(piece)
        if placed and piece.directs:  # "at the door, angrily" says how it is said
            whole = replace(whole, kind="emotion")
    return whole


def _note(words: str) -> Meaning | None:
    """A note in known words; None for anything else."""
    said = plain(words)
    if _NOTES.fullmatch(said) and (adverb := re.search(r"\w+ly$", said)) and (felt := read_words(adverb[0])):
        return replace(Meaning(None, note=True).then(felt), kind="emotion")  # "mimicking him mockingly"
    if _NOTES.fullmatch(said) or _NOTES.fullmatch(f"{said}.") or _EFFECTS.fullmatch(said) or _stands(words):
        return Meaning(None, note=True, kind="note")
    to = _TO_WHOM.fullmatch(words.strip())
    if to is None or _TO_DO.fullmatch(f"to {plain(to[2])}") or re.search(r"[!?]\s*$", words):
        return None
    whom = re.sub(r"^(?:face|look at|address)\s+", "", to[2].strip(" .,;:"))
    whom, way = _TO_HOW.fullmatch(whom).groups()  # type: ignore[union-attr]  # it fits anything
    _, comma, more = whom.rpartition(",")
    if plain(to[1] or "").startswith("turn") and (way or re.search(r" and \w+s\b", whom)):
        # Something is done: "turns to him with a cold smile".
        return None
    if len(whom.split()) > _MAX_WORDS or (comma and _piece(more) is not None):  # "to Anna, eagerly" is two things
        return None
    note = Meaning(None, note=True, to=whom, kind="note")
    for how in (to[1], way):  # "quietly to Anna", "to Anna with a smile"
        if how and (felt := read_words(how) or _felt(how)) is not None:
            note = note.then(felt)
    return note


def _stands(words: str) -> bool:
    """Whether they say how or where somebody is, and nothing that is done."""
    return _BEARING.fullmatch(plain(words)) is not None and not read_action(words) and not is_business(words)


def _placed(words: str, nearest: Callable[[str], Meaning | None] | None) -> Meaning | None:
    """A direction that begins with a preposition: a feeling where it is near to one, else a note."""
    if not _WHERE.fullmatch(plain(words)) or len(words.split()) > _MAX_NOTE:
        return None
    felt = re.match(r"(?:with|in|out of|as)\b", plain(words)) and _nearest(words, nearest)
    return felt or Meaning(None, note=True, kind="note")


def _is_said(words: str) -> bool:
    """Whether words that are no direction's can only be spoken."""
    said = plain(words)
    if words.isupper() or any(c.isdigit() for c in words) or not words[0].isalpha():  # a placeholder: [NAME]
        return True
    if re.search(r"[!?]\W*$", words):
        return True
    # What is printed like a sentence is a direction where it has a direction's form: plays set its full stop within.
    if re.search(r"\.\W*$", words) and not (is_business(words) or _is_formed(words)):
        return True
    return _SPEAKS.search(said) is not None or _SAID.match(said) is not None


def _is_formed(words: str) -> bool:
    """Whether the form of words says that they are a direction: a manner, how somebody stands, where, with what."""
    said = plain(words)
    manner = _MANNER.fullmatch(said)
    if manner is not None:
        return (manner[1] or manner[2]) not in NO_MANNERS
    return any(form.fullmatch(said) for form in (_BEARING, _OF_THEIRS, _SET))


def _has_named(read: list[Meaning | None]) -> bool:
    return any(action.name for meaning in read if meaning for action in meaning.actions)


def _nearest(words: str, nearest: Callable[[str], Meaning | None] | None) -> Meaning | None:
    return nearest(words) if nearest is not None and len(words.split()) <= _MAX_WORDS else None
