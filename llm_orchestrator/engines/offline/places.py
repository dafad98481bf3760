"""Where people ask about: large cities and countries, and the time zone of each.

Names are as they are heard: lower case, no accents, and only words of a pronouncing
dictionary, so that an answer that names one can be spoken and aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ZONES = {
    "Africa/Accra": "accra, ghana",
    "Africa/Addis_Ababa": "addis ababa, ethiopia",
    "Africa/Algiers": "algiers, algeria",
    "Africa/Cairo": "cairo, egypt",
    "Africa/Casablanca": "casablanca, morocco",
    "Africa/Dakar": "dakar, senegal",
    "Africa/Dar_es_Salaam": "tanzania",
    "Africa/Harare": "zimbabwe",
    "Africa/Johannesburg": "cape town, johannesburg, south africa",
    "Africa/Kampala": "uganda",
    "Africa/Khartoum": "khartoum, sudan",
    "Africa/Lagos": "lagos, nigeria",
    "Africa/Lusaka": "zambia",
    "Africa/Nairobi": "nairobi, kenya",
    "Africa/Tripoli": "tripoli, libya",
    "Africa/Tunis": "tunis, tunisia",
    "America/Anchorage": "anchorage, alaska",
    "America/Argentina/Buenos_Aires": "buenos aires, argentina",
    "America/Bogota": "bogota, colombia",
    "America/Caracas": "caracas, venezuela",
    "America/Chicago": (
        "austin, chicago, dallas, houston, memphis, minneapolis, nashville, new orleans, san "
        "antonio, texas"
    ),
    "America/Costa_Rica": "costa rica",
    "America/Denver": "denver, salt lake city, colorado",
    "America/Detroit": "detroit",
    "America/Edmonton": "calgary, edmonton",
    "America/Guayaquil": "quito, ecuador",
    "America/Havana": "havana, cuba",
    "America/Indiana/Indianapolis": "indianapolis",
    "America/Jamaica": "kingston, jamaica",
    "America/La_Paz": "bolivia",
    "America/Lima": "lima, peru",
    "America/Los_Angeles": (
        "las vegas, los angeles, portland, sacramento, san diego, san francisco, san jose, "
        "seattle, california"
    ),
    "America/Mexico_City": "mexico city",
    "America/Montevideo": "uruguay",
    "America/New_York": (
        "atlanta, boston, charlotte, cincinnati, cleveland, miami, new york, new york city, "
        "philadelphia, pittsburgh, washington, florida, ohio"
    ),
    "America/Panama": "panama city, panama",
    "America/Phoenix": "phoenix, arizona",
    "America/Puerto_Rico": "san juan, puerto rico",
    "America/Santiago": "santiago, chile",
    "America/Sao_Paulo": "brasilia, rio de janeiro, sao paulo",
    "America/Toronto": "montreal, ottawa, quebec, toronto",
    "America/Vancouver": "vancouver",
    "America/Winnipeg": "winnipeg",
    "Asia/Amman": "jordan",
    "Asia/Baghdad": "baghdad, iraq",
    "Asia/Bangkok": "bangkok, thailand",
    "Asia/Beirut": "beirut, lebanon",
    "Asia/Colombo": "colombo, sri lanka",
    "Asia/Damascus": "damascus, syria",
    "Asia/Dhaka": "dhaka, bangladesh",
    "Asia/Dubai": "abu dhabi, dubai",
    "Asia/Ho_Chi_Minh": "hanoi, saigon, vietnam",
    "Asia/Hong_Kong": "hong kong",
    "Asia/Jakarta": "jakarta",
    "Asia/Jerusalem": "jerusalem, tel aviv, israel",
    "Asia/Kabul": "kabul, afghanistan",
    "Asia/Karachi": "islamabad, karachi, lahore, pakistan",
    "Asia/Kathmandu": "nepal",
    "Asia/Kolkata": "bangalore, bombay, calcutta, delhi, mumbai, new delhi, india",
    "Asia/Kuala_Lumpur": "kuala lumpur, malaysia",
    "Asia/Kuwait": "kuwait city, kuwait",
    "Asia/Manila": "manila, philippines",
    "Asia/Nicosia": "cyprus",
    "Asia/Pyongyang": "north korea",
    "Asia/Qatar": "doha, qatar",
    "Asia/Riyadh": "riyadh, saudi arabia",
    "Asia/Seoul": "seoul, korea, south korea",
    "Asia/Shanghai": "beijing, shanghai, china",
    "Asia/Singapore": "singapore",
    "Asia/Taipei": "taipei, taiwan",
    "Asia/Tbilisi": "tbilisi",
    "Asia/Tehran": "tehran, iran",
    "Asia/Tokyo": "kyoto, osaka, tokyo, japan",
    "Asia/Yerevan": "yerevan, armenia",
    "Atlantic/Reykjavik": "reykjavik, iceland",
    "Australia/Adelaide": "adelaide",
    "Australia/Brisbane": "brisbane",
    "Australia/Melbourne": "melbourne",
    "Australia/Perth": "perth",
    "Australia/Sydney": "canberra, sydney",
    "Europe/Amsterdam": "amsterdam, rotterdam, netherlands",
    "Europe/Athens": "athens, greece",
    "Europe/Belgrade": "belgrade, serbia",
    "Europe/Berlin": "berlin, cologne, frankfurt, hamburg, munich, stuttgart, germany",
    "Europe/Bratislava": "slovakia",
    "Europe/Brussels": "brussels, belgium",
    "Europe/Bucharest": "bucharest, romania",
    "Europe/Budapest": "budapest, hungary",
    "Europe/Copenhagen": "copenhagen, denmark",
    "Europe/Dublin": "dublin, ireland",
    "Europe/Helsinki": "helsinki, finland",
    "Europe/Istanbul": "ankara, istanbul, turkey",
    "Europe/Kyiv": "kiev, ukraine",
    "Europe/Lisbon": "lisbon, portugal",
    "Europe/Ljubljana": "slovenia",
    "Europe/London": (
        "belfast, birmingham, bristol, cardiff, edinburgh, glasgow, leeds, liverpool, london, "
        "manchester, britain, england, great britain, scotland, wales"
    ),
    "Europe/Luxembourg": "luxembourg",
    "Europe/Madrid": "barcelona, madrid, seville, spain",
    "Europe/Malta": "malta",
    "Europe/Minsk": "minsk, belarus",
    "Europe/Monaco": "monaco",
    "Europe/Moscow": "moscow, saint petersburg",
    "Europe/Oslo": "oslo, norway",
    "Europe/Paris": "lyon, marseille, paris, france",
    "Europe/Prague": "prague",
    "Europe/Riga": "riga, latvia",
    "Europe/Rome": "milan, naples, rome, turin, venice, italy",
    "Europe/Sarajevo": "sarajevo, bosnia",
    "Europe/Sofia": "sofia, bulgaria",
    "Europe/Stockholm": "stockholm, sweden",
    "Europe/Tallinn": "estonia",
    "Europe/Tirane": "albania",
    "Europe/Vienna": "vienna, austria",
    "Europe/Vilnius": "vilnius, lithuania",
    "Europe/Warsaw": "warsaw, poland",
    "Europe/Zagreb": "zagreb, croatia",
    "Europe/Zurich": "basel, bern, geneva, zurich, switzerland",
    "Pacific/Auckland": "auckland, wellington, new zealand",
    "Pacific/Honolulu": "honolulu, hawaii",
}

_CAPITALS = {
    "america": "washington",
    "australia": "canberra",
    "brazil": "brasilia",
    "canada": "ottawa",
    "indonesia": "jakarta",
    "mexico": "mexico city",
    "russia": "moscow",
    "united states": "washington",
    "usa": "washington",
}
"""Countries with several time zones: what is answered is the time in the capital."""

_PLACES = {name: zone for zone, names in _ZONES.items() for name in names.split(", ")}

LONGEST = max(len(name.split()) for name in _PLACES)
"""Words of the longest name."""


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    """As it is written: "New York"."""

    zone: str
    """IANA time zone, e.g. "America/New_York"."""


def at(words: Sequence[str], start: int) -> tuple[Place, int] | None:
    """The place whose name begins at word `start`, and the index after its last word.

    The longest name wins: "new york city" over "new york".
    """
    for end in range(min(start + LONGEST, len(words)), start, -1):
        name = " ".join(words[start:end])
        name = _CAPITALS.get(name, name)
        if name in _PLACES:
            return Place(_title(name), _PLACES[name]), end
    return None


def find(words: Sequence[str]) -> tuple[Place, int, int] | None:
    """The first place named, with the indices of its first word and after its last."""
    for start in range(len(words)):
        if found := at(words, start):
            return found[0], start, found[1]
    return None


def every() -> list[Place]:
    """All places, in a stable order."""
    return [Place(_title(name), zone) for name, zone in _PLACES.items()]


def _title(name: str) -> str:
    return " ".join(word if word == "de" else word.capitalize() for word in name.split())
