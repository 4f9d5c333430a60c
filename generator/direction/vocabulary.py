# SPDX-License-Identifier: GPL-3.0-or-later
"""The words a stage direction may use: which emotion they mean and how strong it is.

Words are adjectives, nouns and participles; an adverb is looked up by its adjective (`stems`). The same words are the
examples that `generator.direction.nearest` compares unknown ones with. Common English, chosen by us.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .emotions import COMPOUND_EMOTIONS, EMOTION_NAMES

#: Emotion, factor of the intensity, words.
_EMOTION_ROWS: Final = (
    ("neutral", 1.0,
     "neutral, calm, monotone, deadpan, flat, matter-of-fact, composed, without emotion, expressionless, "
     "stone-faced, emotionless, casual, indifferent, evenly, coolly, robotic, mechanical, unmoved, blank, in a level "
     "voice, with a straight face, poker-faced, serious, dead serious, earnest, sincere, grave, solemn, "
     "businesslike, professional, non-committal, noncommittal, distracted, preoccupied, thoughtful, pensive, "
     "straightforward, patient, detached, nonchalant, unconcerned, impassive, imperturbable, unruffled, "
     "dispassionate, formal, stiff, sober, dry, absent-minded, absent, abstracted, musing, meditative, reflective, "
     "placid, serene, philosophical, courteous, polite, civil, indifference, composure, gravity, solemnity, "
     "politeness, reasonable, prosaic, careless, attentive, sedate, immovable, official, officious, intent, "
     "absorbed, engrossed, reflecting, considering, pondering, meditating, thinking, remembering, recollecting, "
     "recalling, brooding, in deep thought, lost in thought, in thought, thoughtfulness, unperturbed, collected, "
     "controlled, quiet and controlled, remote, distant, vacant, laconic, simple, practical, judicial, respectful, "
     "respect, deference, deferential, unembarrassed, self-possessed, tranquil, calmness, coolness, seriousness, "
     "sincerity, earnestness, courtesy"),
    ("joy", 1.0,
     "joy, joyful, happy, happiness, glad, cheerful, merry, smiling, smile, delighted, delight, "
     "pleased, beaming, grinning, sunny, excited, excitement, enthusiastic, hopeful, relieved, "
     "relief, grateful, giddy, gleeful, chipper, upbeat, radiant, bubbly, with a bright smile, a "
     "broad grin, a forced smile, "
     "airy, breezy, carefree, light-hearted, gaily, brightly, blithe, jovial, jolly, genial, hearty, cordial, "
     "eager, jaunty, "
     "buoyant, enraptured, good-humoured, good-humored, good-natured, optimistic, heartened, enchanted, "
     "encouraged, charmed, gratified, gratification, satisfaction, satisfied, contented, content, comfortable, cosy, "
     "hopefulness, hope, appreciative, appreciation, admiring, admiration, thankful, gratitude, "
     "vivacious, vivacity, exhilarated, animated with joy, reassured, consoled, exuberant, glowing, shining eyes, "
     "enthusiasm, elation, glee, eagerness, gaiety, in high spirits"),
    ("joy", 1.3,
     "ecstatic, overjoyed, over the moon, elated, jubilant, euphoric, thrilled, triumphant, jumping "
     "up and down, bursting with joy, "
     "rapturous, exultant"),
    ("sadness", 1.0,
     "sad, sadness, disheartened, unhappy, sorrow, sorrowful, mournful, gloomy, melancholy, dejected, "
     "crestfallen, tearful, in tears, crying, tears, wistful, lonely, hurt, downcast, disappointed, "
     "regretful, heartbroken, close to tears, eyes full of tears, a lump in the throat, voice "
     "breaking, voice cracking, choked up, choking up, sniffling, head hanging, with a heavy heart, "
     "plaintive, pathetic, piteous, rueful, dismal, forlorn, woeful, glum, morose, crushed, brokenly, resigned, "
     "downhearted, dejection, "
     "discouraged, cast down, wounded, stung, despondent, desolate, dreary, doleful, lugubrious, tragic, "
     "sombre, somber, sobered, subdued by grief, broken, suffering, pained, pain, sadness, gloom, melancholic, "
     "homesick, disillusioned, defeated, hopelessness, disconsolate, crestfallenly, lamenting, lament, "
     "disappointment, regret, mourning, woe, dispirited, dull despair, "
     "resignation, moved, affected, overcome, overwhelmed"),
    ("sadness", 1.3,
     "sobbing, weeping, wailing, grief, grieving, despair, despairing, devastated, miserable, "
     "inconsolable"),
    ("anger", 1.0,
     "anger, angry, mad, irate, cross, hostile, resentful, indignant, snapping, growling, through gritted teeth, "
     "aggressive, threatening, menacing, fierce, harsh, snarling, hissing, clenched fists, jaw tight, slamming the "
     "table, losing patience, eyes burning, defiant, accusing, confrontational, severe, reproachful, reproving, "
     "imperious, peremptory, overbearing, scolding, stormy, heated, hotly, violently, savage, brutal, ferocious, "
     "vehement, offended, affronted, insulted, rebellious, belligerent, truculent, indignation, resentment, grim, "
     "fiery, with fire, warning, wrath, wrathfully, upbraiding, rebuking, rebuke, reproof, reproach, defiance, "
     "challenging, ominous, infuriated, maddened, incensed, vengeful, revengeful, quarrelsome, pugnacious, "
     "combative, roused, nettling, sternness, harshness, fierceness, violence, violent, storming, thundering, "
     "hating, blazing, blustering, bullying, hard, hostility, severity"),
    ("anger", 1.3,
     "furious, fury, wrathful, rage, raging, enraged, outraged, livid, in a rage, seething, fuming, "
     "boiling with rage, exploding, incensed"),
    ("anger", 0.7,
     "annoyed, irritated, peeved, irritable, impatient, frustrated, grumpy, exasperated, stern, curt, terse, "
     "defensive, testy, snippy, fed up, vexed, nettled, ruffled, sulky, sullen, petulant, pettish, peevish, surly, "
     "gruff, brusque, blunt, sour, tart, acid, cold, chilly, icy, frosty, glacial, sharply, crushing, strict, "
     "disapproving, remonstrating, protesting, expostulating, querulous, fretful, piqued, crabby, cranky, "
     "ungracious, disagreeable, vexation, irritation, impatience, discontented, dissatisfied, grumbling, "
     "complaining, sulking, put out, disgruntled, ill-tempered, bad-tempered, crossly, snappish, waspish, "
     "ill-humoured, ill-humored, annoyedly, aggressively cold, cutting, annoyance, exasperation"),
    ("fear", 1.0,
     "fear, fearful, afraid, scared, frightened, anxious, worried, nervous, panicking, panicky, "
     "alarmed, uneasy, shaking with fear, timid, tense, apprehensive, trembling, cowering, shrinking "
     "back, shaking, heart pounding, voice trembling, wary, cautious, concerned, on edge, jumpy, paranoid, looking "
     "over her shoulder, dread, "
     "hesitant, tremulous, frantic, agitated, feverish, restless, fidgety, distressed, perturbed, troubled, "
     "dismayed, in dismay, consternation, aghast, faltering, timorous, meek, solicitous, quaking, cowed, "
     "daunted, intimidated, "
     "suspense, in suspense, shuddering, shudder, unnerved, hunted, haunted, flurried, fluttered, upset, excited and "
     "afraid, breath catching, tension, anxiousness, uneasiness, frightenedly, scaredly, cowardly, fright, "
     "on his guard, on her guard, cringing, disturbed, worriedly, ill at ease, hesitating, "
     "anxiety, alarm, nervousness, trepidation, horror, apprehension, agitation"),
    ("fear", 1.3,
     "terrified, terror, horrified, petrified, panic, in panic, hysterical"),
    ("disgust", 1.0,
     "disgust, disgusted, revolted, repulsed, sickened, nauseated, grossed out, distaste, grimacing, "
     "queasy, wrinkling her nose, gagging, recoiling, retching, about to be sick, turning away in "
     "disgust, what a stench"),
    ("surprise", 1.0,
     "surprise, surprised, astounded, lost for words, astonished, amazed, startled, shocked, stunned, incredulous, "
     "taken aback, disbelief, in disbelief, gasping, wide-eyed, flabbergasted, dumbfounded, speechless, "
     "disbelieving, impressed, caught off guard, mouth open, blinking in surprise, astounding, bewildered amazement, "
     "marvelling, scandalized, scandalised, struck, taken by surprise, unbelieving, thunderstruck, staggered, dazed, "
     "stupefied, open-mouthed, electrified, amazement, astonishment"),
    ("contempt", 1.0,
     "contempt, contemptuous, scornful, sneering, disdainful, disdain, mocking, sarcastic, condescending, smug, "
     "haughty, supercilious, sardonic, cynical, ironic, ironical, satirical, derisive, jeering, withering, scathing, "
     "cuttingly, patronising, patronizing, disparaging, insolent, impudent, disrespectful, superior, snobbish, "
     "caustic, slighting, slightingly, impertinent, impertinence, insolence, superiority, taunting, taunt, gibing, "
     "scoffing, derision, cynicism, disparagement, sniffing, provocative, contemptuously amused, ironically polite, "
     "dismissive, irony, sarcasm, scorn, mockery"),
    ("affection", 1.0,
     "affection, affectionate, loving, love, tender, fond, warm, adoring, caring, flirtatious, romantic, sweet, "
     "kind, soothing, coaxing, consoling, comforting, reassuring, persuasive, conciliatory, compassionate, "
     "sympathetic, pitying, ardent, passionate, amorous, devoted, cooing, caressing, winningly, ingratiating, "
     "motherly, fatherly, maternal, paternal, gracious, benevolent, hospitable, friendly, sentimental, amiable, "
     "gallant, tenderness, sympathy, touched, tempting, seductive, wheedling, endearing, protective, cajoling, "
     "gentle and kind, good-hearted, heartfelt, tenderly, ardour, ardor, passion, devotion, adoration, adoringly, "
     "longing, yearning, lovingly, confiding, compassion, pity, fervent, warmth, fondness, kindness, fervour, fervor"),
    ("embarrassment", 1.0,
     "embarrassment, embarrassed, ashamed, sheepish, blushing, awkward, bashful, shy, humiliated, guilty, flustered, "
     "abashed, mortified, disconcerted, uncomfortable, apologetic, penitent, contrite, remorseful, humble, demure, "
     "modest, remorse, repentant, humility, red, very red, flushed, flushing, reddening, colouring, coloring, "
     "humbled, submissive, submission, deprecating, self-reproachful, chastened, constrained, constraint, reluctant, "
     "reluctance, self-conscious, shamefaced, crimson, coy, discomfited, out of countenance, shame, shyness"),
    ("confusion", 1.0,
     "confusion, confused, puzzled, bewildered, baffled, perplexed, unsure, uncertain, curious, "
     "frowning in thought, suspicious, doubtful, dubious, skeptical, sceptical, questioning, unconvinced, lost, "
     "bemused, mystified, nonplussed, inquiring, enquiring, inquisitive, interrogative, at a loss, hazy, "
     "undecided, wondering, "
     "curiosity, interested, interest, attentively puzzled, distrustful, distrust, mistrustful, not understanding, "
     "hesitatingly, doubting, tentative, searching, inquiry, vague, uncomprehending, groping, disconcertedly, "
     "perplexity, bewilderment, doubt, suspicion"),
    ("pride", 1.0,
     "pride, proud, boastful, self-satisfied, victorious, head held high, "
     "dignity, dignified, pompous, majestic, grandly, stately, lofty, complacent, self-complacent, "
     "self-important, boasting, "
     "arrogance, conceit, vain, vanity, swaggering, superb, self-assured, confident, confidence, exulting pride, "
     "vaunting, bragging, impressive, solemnly proud, grandiose, bumptious, magnificent, "
     "arrogant, conceited, pontifical, magisterial, sententious, regal"),
    ("amusement", 1.0,
     "amusement, amused, laughing, laughter, chuckling, giggling, playful, teasing, joking, mischievous, arch, "
     "roguish, sly, cheeky, impish, wry, quizzical, facetious, jocular, jocose, humorous, droll, tickled, comic, "
     "comical, cunning, capricious, humour, humor, mirth, chaffing, jesting, mock serious, artful, exulting in "
     "mischief, waggish, bantering, whimsical, frivolous, merriment"),
    ("boredom", 1.0,
     "boredom, bored, weary, uninterested, yawning, listless, tired, exhausted, drained, worn out, dull, "
     "languid, languorous, blasé, jaded, apathetic, lethargic, lackadaisical, fatigued, wearied, weariness, "
     "languor, ennui"),
    ("happily_surprised", 1.0,
     "happily surprised, pleasantly surprised, amazed and delighted, joyful surprise"),
    ("awed", 1.0,
     "awed, awe, in awe, awestruck, wonder, in wonder, reverent, spellbound, rapt, fascinated, entranced, "
     "transfixed, holy, ecstatic awe, mysterious awe, reverence"),
    ("bittersweet", 1.0,
     "bittersweet, smiling through tears, laughing through tears, laughing and crying, nostalgic, smiling sadly, a "
     "sad smile"),
    ("sadly_angry", 1.0,
     "sadly angry, bitter, bitterness, betrayed, embittered, injured, rancorous, rancour, angry and hurt, "
     "crying with rage, aggrieved"),
    ("sadly_fearful", 1.0,
     "sadly fearful, desperate, pleading, begging, anguished, distraught, helpless, desperation, wild, wildly, "
     "distracted with grief, tormented, tortured, in torment, torment, entreaty, appeal, imploring, entreating, "
     "beseeching, supplicating, appealing, anguish, agonised, agonized, agony"),
    ("angrily_disgusted", 1.0,
     "angrily disgusted, hateful, loathing, spiteful, vicious, venomous, "
     "hatred, hate, hatefully, loathing, malice, venom, malevolence, spite, "
     "malignant, malicious, malevolent, vindictive, abhorrence"),
)  # fmt: skip

#: Manners: they leave the emotion as it is and change its intensity, the speed of the words and the energy by factors.
_MANNER_ROWS: Final = (
    ((0.5, 1.0, 0.8), "inaudible, scarcely audible, almost inaudible, whispering, whisper, whispers, in a whisper, "
     "under her breath, under his breath, under their "
     "breath, muttering, "
     "mutters, mumbling, mumbles, murmuring, murmurs, barely audible, hushed, hoarse, sotto voce, sotto, "
     "mouthing, in an undertone, half aloud, below her breath, below his breath"),
    ((0.65, 1.0, 0.9), "soft, quiet, gentle, low, subdued, restrained, mild, in a low voice, lowering her voice, "
     "lowering his voice, dropping her voice, dropping his voice, sinking her voice, sinking his voice, "
     "confidential, mysterious, secretive, secretly, in a low tone, in low tones, in a hushed voice, dreamy, "
     "toneless, tonelessly, in a dead voice, with a catch in her voice, with lowered voice"),
    ((1.25, 1.0, 1.1), "determination, decision, resolution, decided, decisive, positive, imperative, dogged, "
     "stubborn, "
     "obstinate, stout, staunch, strong, resounding, authority, intensity, emphasis, emotion, carried away, louder, "
     "firmness, pointed, convincing, assertive, insisting, urging, insistence, urgency, loud, intense, emphatic, "
     "urgent, forceful, insistent, firm, determined, resolute, undeterred, with conviction, with emphasis, with "
     "feeling, with emotion, authoritative, commanding, dramatic, stentorian, aloud, raising her voice, raising his "
     "voice"),
    ((1.4, 1.0, 1.25), "shouting, shouts, yelling, yells, screaming, screams, at the top of her voice, at the top of "
     "his voice, "
     "bellowing, bellows, roaring, roars, calling out, calls out, cries out, hollering, shrieking"),
    ((1.0, 0.74, 0.85), "slow, deliberate, measured, unhurried, halting, in slow motion, taking her time, taking his "
     "time, drawling, "
     "haltingly, drawn out, word by word, ponderous, with effort"),
    ((1.0, 1.3, 1.1), "impulsive, prompt, abrupt, sudden, haste, glib, eager haste, fast, quick, hurried, rushed, "
     "rapid, rapid-fire, in a hurry, in a rush, breathless, out of "
     "breath, panting, "
     "babbling, rambling, rushing, hasty, brisk, crisp, voluble, precipitate, all in one breath, "
     "without a pause, without pausing, without pauses, "
     "without stopping"),
    ((1.1, 1.05, 1.3), "lively, animated, energetic, vigorous, spirited, with energy, animation, zest, gusto, "
     "vigour, vigor"),
    ((0.85, 0.88, 0.7), "sleepy, drowsy, drunk, drunkenly, slurring, half asleep, weak, feeble, faint"),
)  # fmt: skip

#: Degrees before a word: "very angrily", "a little sad".
DEGREES: Final[MappingProxyType[str, float]] = MappingProxyType(
    {
        "barely": 0.35, "hardly": 0.35, "slightly": 0.5, "a little": 0.55, "a bit": 0.55,
        "a touch": 0.55, "mildly": 0.6, "half": 0.7, "somewhat": 0.7, "almost": 0.8, "nearly": 0.8, "vaguely": 0.6,
        "faintly": 0.5, "rather": 0.9, "fairly": 0.9, "suddenly": 1.0, "quite": 1.1, "more": 1.1,
        "increasingly": 1.15, "even more": 1.25, "so": 1.2, "very": 1.25, "really": 1.25, "deeply": 1.25, "much": 1.25,
        "too": 1.25, "overly": 1.3, "way too": 1.35, "extremely": 1.45, "utterly": 1.4, "completely": 1.4,
        "genuinely": 1.0, "clearly": 1.0, "visibly": 1.0, "truly": 1.2,
    }
)  # fmt: skip

#: Ordinary bracketed words that are spoken: what a direction must be told from.
ASIDES: Final[tuple[str, ...]] = (
    "you know", "I think", "the red one", "or so they say", "not that it matters", "my sister", "at least most of it",
    "as I said before", "like last year", "the one next door", "and her husband", "if you want", "more or less",
    "well, almost", "whatever that means", "the big house", "if I remember right", "which is true", "on Monday",
    "for example", "my old boss", "and I mean it", "don't ask me why", "the company", "believe it or not", "twice",
    "not this one", "it was his idea", "just like you", "a doctor", "the first time", "see below", "in Paris",
    "or maybe two", "thank God", "no offence", "her name was Anna", "all of them", "the keys", "by the way",
)  # fmt: skip


def _emotion_words() -> dict[str, tuple[str, float]]:
    words = {name.replace("_", " "): (name, 1.0) for name in EMOTION_NAMES}
    for name, factor, row in _EMOTION_ROWS:
        for word in row.split(", "):
            words.setdefault(word, (name, factor))
    return words


#: Word or phrase -> emotion (a name of `EMOTION_NAMES`) and factor of the intensity.
EMOTION_WORDS: Final[MappingProxyType[str, tuple[str, float]]] = MappingProxyType(_emotion_words())
#: Word or phrase -> factors of intensity, speaking rate and energy.
MANNERS: Final[MappingProxyType[str, tuple[float, float, float]]] = MappingProxyType(
    {word: factors for factors, row in _MANNER_ROWS for word in row.split(", ")}
)


def stems(word: str) -> tuple[str, ...]:
    """Forms under which ``word`` may be listed: itself, and the adjective of an adverb or a comparative."""
    forms = [word]
    if word.endswith("ily"):
        forms.append(word[:-3] + "y")
    if word.endswith("ically"):
        forms.append(word[:-4])
    if word.endswith("ly"):
        forms += [word[:-2], word[:-2] + "le", word[:-1] + "e", word[:-2] + "l"]
    if word.endswith("ier"):
        forms.append(word[:-3] + "y")
    elif word.endswith("er"):
        forms += [word[:-2], word[:-1], word[:-3]]
    return tuple(forms)


def mixture_name(first: str, second: str) -> str | None:
    """The compound emotion made of two basic ones, or None when there is none."""
    for name, weights in COMPOUND_EMOTIONS.items():
        if set(weights) == {first, second}:
            return name
    return None
