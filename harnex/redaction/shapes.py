"""What counts as a secret (DESIGN section 8): by the name of a variable, by its shape, by the words
before it.

Pure. NOTES.md has the list in words; `redaction/redactor.py` looks for these in text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

MIN_LENGTH = 8

_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH(?!OR)|COOKIE|PRIVATE|DSN|WEBHOOK", re.IGNORECASE)
_NOT_A_NAME = re.compile(
    r"KEYBOARD|KEYMAP|^(?:OLD)?PWD$|ASKPASS|COMPASS|BYPASS|PASSENGER|MONKEY|TURKEY"
    r"|(?:SHA\d*|HASH|FINGERPRINT|DIGEST|NAME|FILE|PATH|DIR|TYPE|KIND|COUNT|LIMIT|TOKENS)$",
    re.IGNORECASE,
)
_SURE_NAME = re.compile(r"TOKEN|SECRET|PASS|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_NOT_SECRET = re.compile(r"true|false|yes|no|on|off|none|null|default|disabled|enabled|required|[\d.,:-]{1,12}", re.I)
_PLAIN_WORDS = re.compile(r"[a-z]+(?:[-_. /][a-z]+)*", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}+://[^\s:/@]*:([^\s/@]{4,})@")
_STRONG = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[^\s/\\]{16,}", re.DOTALL)


def is_secret_name(name: str, extra: Iterable[str] = ()) -> bool:
    """Whether a variable (or a JSON key, or an option) of this name holds a secret.

    `extra` are globs.
    """
    if any(fnmatchcase(name.upper(), glob.upper()) for glob in extra):
        return True
    return bool(_NAME.search(name)) and not _NOT_A_NAME.search(name)


def is_secret_field(name: str, value: str, extra: Iterable[str] = ()) -> bool:
    """Whether a JSON field holds a secret.

    Its name must leave no doubt, and its value must be one word of some length.
    """
    if any(fnmatchcase(name.upper(), glob.upper()) for glob in extra):
        return len(value) >= MIN_LENGTH
    return (
        _SURE_NAME.search(name) is not None
        and is_secret_name(name)
        and len(value.split()) == 1
        and value in secret_values({name: value})
    )


def secret_values(env: Mapping[str, str], names: Iterable[str] = ()) -> set[str]:
    """The values of variables whose names sound like secrets, and passwords in URLs.

    Left alone: paths, switches, small numbers, and plain words under names that are not sure
    (`PROJECT_KEY=website`).
    """
    names = tuple(names)
    found: set[str] = set()
    for name, value in env.items():
        value = value.strip()
        in_url = _URL_PASSWORD.search(value)
        if in_url:
            found.add(in_url[1])
        if len(value) < MIN_LENGTH or _NOT_SECRET.fullmatch(value):
            continue
        if names and any(fnmatchcase(name.upper(), glob.upper()) for glob in names):
            found |= _with_lines(value)
            continue
        if not is_secret_name(name):
            continue
        if value.startswith(("/", "~/", "./", "../")) and not re.search(r"[+=]", value):
            continue
        if not _SURE_NAME.search(name) and len(value) < 24 and _PLAIN_WORDS.fullmatch(value):
            continue
        found |= _with_lines(value)
    return found


def file_values(text: str) -> set[str]:
    """The secrets of a credential file: its long JSON strings, or its lines if it is no JSON."""
    try:
        data = json.loads(text)
    except ValueError:
        return _with_lines(text.strip())
    found: set[str] = set()
    todo = [data]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, str) and len(value) >= 16 and " " not in value and "://" not in value:
            found.add(value)
    return found


def _with_lines(value: str) -> set[str]:
    """The values to look for. A value of several lines (a PEM key) also counts line by line."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) < 2:
        return {value} if len(value) >= MIN_LENGTH else set()
    return {value, *(line for line in lines if len(line) >= 16 and not line.startswith("-----"))}


def is_strong(value: str) -> bool:
    """Whether a value is long and mixed: not a word that also occurs in paths and sentences."""
    return _STRONG.fullmatch(value) is not None


class Shape(NamedTuple):
    """The shape of a secret.

    `strict` finds the whole secret (group 1, if there is one, is kept). `partial` finds its
    beginning at the end of a text or row. One of the `literals` (lower case) must be in the text.
    `learn`: pieces of what was found, without the words around it, are looked for from then on.
    """

    strict: re.Pattern[str]
    partial: re.Pattern[str] | None
    literals: tuple[str, ...]
    learn: bool = True


# Every quantifier has a bound, unless what follows can't begin a match of its own: a row of 5,000
# dashes followed by `x-key` once took seconds. tests/unit/redaction/test_shapes_linear.py looks for
# others.
_END = r"(?=[ \t\xa0│┃|║]*(?:\n|\Z|…|\.\.\.\Z))"


def _vendor(prefix: str, body: str, least: int, *literals: str, weak: bool = False, most: str = "300") -> Shape:
    """A prefix that nothing else has, and a body of random characters.

    A `weak` prefix may also be a word's beginning.
    """
    start = rf"(?<![A-Za-z0-9])(?:{prefix})"
    random = rf"(?=[{body}]{{0,40}}?[A-Z0-9])" if weak else ""
    end = rf"(?![{body}])" if most != "300" else ""
    return Shape(
        re.compile(rf"{start}{random}[{body}]{{{least},{most}}}{end}"),
        re.compile(rf"{start}{random}[{body}]{{1,300}}+{_END}"),
        literals,
    )


_VALUE = r"[A-Za-z0-9+/=_.~!@#$%^&*-]"
_CODE = (  # what follows `token =` in a program, not in a log
    r"(?!(?:self|this|os|process|request|req|env|config|settings|args|opts|options|ctx|app|data|params|user|secrets|vars)"
    r"\.[A-Za-z_])(?![A-Za-z_.]+[(\[])(?!\[redacted\])"
)
_OVER = rf"(?:(?!{_VALUE})|\Z)"
# The value is in quotes; or it follows the sign directly, and is no `some_name` or `some.name`; or
# it stands apart, and is no name at all.
_SIGN = (
    r"[\\\"']{0,3}(?:[ \t]{0,3}[:=][ \t]*[\\\"']{1,3}"
    rf"|[:=](?![A-Za-z]*[._][A-Za-z_.]*{_OVER})"
    rf"|[ \t]{{0,3}}[:=][ \t]+(?![A-Za-z_.]+{_OVER}))"
)


def _words(pattern: str, *literals: str, learn: bool = False) -> Shape:
    return Shape(re.compile(pattern, re.IGNORECASE | re.DOTALL), None, literals, learn)


_LABELS = ("key", "token", "secret", "password", "passwd", "passphrase")

SHAPES: tuple[Shape, ...] = (
    Shape(
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:[^\"'<>{}-]|-(?!----BEGIN )){0,20000}?-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:(?:\s|\\n|\\r)*[A-Za-z0-9+/=]{16,})*(?:(?:\s|\\n|\\r)*[A-Za-z0-9+/]{1,76}={1,2})?)",
        ),
        None,
        ("private key",),
    ),
    _vendor(r"sk-(?:ant|or|proj|svcacct|admin|lf)-", r"A-Za-z0-9_-", 12, "sk-"),
    _vendor(r"[sr]k[-_](?:live|test)[-_]", "A-Za-z0-9", 16, "sk-", "sk_", "rk_", "rk-"),
    _vendor(r"[sr]k[-_]", "A-Za-z0-9", 20, "sk-", "sk_", "rk_", "rk-", weak=True, most="128"),
    _vendor("AKIA|ASIA|ABIA|ACCA", "A-Z0-9", 16, "akia", "asia", "abia", "acca", most="16"),
    _vendor("gh[pousr]_", "A-Za-z0-9", 20, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _vendor("github_pat_", "A-Za-z0-9_", 20, "github_pat_"),
    _vendor("glpat-|glptt-|gldt-", "A-Za-z0-9_-", 16, "glpat-", "glptt-", "gldt-"),
    _vendor("AIza", "A-Za-z0-9_-", 30, "aiza"),
    _vendor(r"ya29\.", "A-Za-z0-9_-", 20, "ya29."),
    _vendor("xox[a-z]-|xapp-", "A-Za-z0-9-", 10, "xox", "xapp-"),
    _vendor("npm_", "A-Za-z0-9", 30, "npm_", weak=True),
    _vendor("pypi-", "A-Za-z0-9_-", 30, "pypi-", weak=True),
    _vendor("dckr_pat_|shpat_|shpss_|dop_v1_|lin_api_", "A-Za-z0-9_-", 20, "_pat_", "shpat_", "shpss_", "dop_v1_", "lin_api_"),
    _vendor("hf_|gsk_|r8_|tvly-|pplx-|whsec_", "A-Za-z0-9", 20, "hf_", "gsk_", "r8_", "tvly-", "pplx-", "whsec_", weak=True),
    _vendor("xai-|sess-|lsv2_[a-z]{2}_", "A-Za-z0-9_-", 20, "xai-", "sess-", "lsv2_", weak=True),
    _vendor(r"hvs\.|SG\.", "A-Za-z0-9_.-", 24, "hvs.", "sg.", weak=True),
    _vendor("AGE-SECRET-KEY-1", "A-Z0-9", 20, "age-secret-key-1"),
    Shape(
        re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,1024}+\.eyJ[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]*"),
        re.compile(rf"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{{12,1024}}+(?:\.[A-Za-z0-9_-]{{0,4096}}+)?+{_END}"),
        ("eyj",),
    ),
    Shape(re.compile(r"(?<![A-Za-z0-9])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"), None, (":aa",)),
    Shape(
        re.compile(r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[A-Za-z0-9_/-]{16,}"),
        None,
        ("/services/", "/webhooks/"),
    ),
    _words(
        r"(\b(?:bearer|basic)[ \t]+)(?=[A-Za-z0-9+/=_.~-]*(?:\d|(?-i:[a-z][A-Z])))[A-Za-z0-9+/=_.~-]{12,}",
        "bearer",
        "basic",
        learn=True,
    ),
    _words(rf"(\bauthorization[\\\"']{{0,3}}\s*[:=]\s*[\\\"']{{0,3}}(?:(?:token|apikey|digest|bearer|basic)\s+)?)(?!bearer|basic){_VALUE}{{8,}}", "authorization"),
    _words(rf"(\bx-[a-z-]{{0,40}}(?:key|token|secret|auth)[\"']?\s*[:=]\s*[\"']?){_VALUE}{{8,}}", "x-"),
    _words(r"(\b(?:set-)?cookie[\"']?\s*:\s*[\"']?[^=;\s\"']{1,64}=)[^;\s\"']{8,}", "cookie"),
    _words(r"(\b[a-z][a-z0-9+.-]{0,30}+://[^\s:/@\"']*:)[^\s/@\"']{3,}(?=@)", "://"),
    _words(r"(\b[a-z][a-z0-9+.-]{0,30}+://)[A-Za-z0-9_-]{16,}(?=@)", "://"),
    _words(r"([?&](?:sig|signature|auth|key|x-amz-(?:signature|credential|security-token))=)[A-Za-z0-9%+/=_.~-]{16,}", "sig", "auth=", "key=", "x-amz-"),
    _words(
        r"((?:api[_-]?key|access[_-]?key|secret[_-]?key|token|secret|passw(?:or)?d|passphrase)"
        rf"{_SIGN}){_CODE}(?!\d{{1,12}}\b){_VALUE}{{8,}}",
        *(word + sign for word in _LABELS for sign in ("=", ":", '"', "'", "\\", " =", " :", "  ", "\t")),
    ),  # the words alone are on every screen of Claude Code: "24 tokens"
    Shape(
        re.compile(
            r"(?<![A-Za-z0-9_])([A-Z][A-Z0-9_]*(?:_KEY|_TOKEN|_SECRET|_PASS|_PASSWORD|_PWD|_CREDENTIALS?|_COOKIE|_AUTH|APIKEY)"
            rf"[\"']?=[\"']?)(?![/~.]|\d{{1,12}}\b|\[redacted\]|\$){_VALUE}{{8,}}"
        ),
        None,
        ("_key", "_token", "_secret", "_pass", "_pwd", "_cred", "_cookie", "_auth", "apikey"),
        False,
    ),
    _words(rf"((?<!-)--?[a-z-]{{0,60}}(?:api-?key|token|secret|password|passwd|access-?key)(?:=|\s+)[\"']?){_CODE}(?!-|\d{{1,12}}\b)(?=[^\s]{{0,200}}?[\d_]){_VALUE}{{8,}}", "-key", "-token", "-secret", "-passw", "--token", "--secret", "--passw", "--apikey"),
)  # fmt: skip
