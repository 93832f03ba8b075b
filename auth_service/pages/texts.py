"""What templates say: `_("…")` is put into the language once, when its template is compiled.

To be imported where a page is shown: Jinja2 is two MiB of a worker's memory.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

from jinja2 import Environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup

from auth_service.pages.catalogue import catalogue

_MOST_KEPT = 4096
_CALL = ("name", "lparen", "string", "rparen")


def install_texts(environment: Environment, language: str) -> None:
    """`_` and `ngettext` of gettext in the new style: facts are given by name and escaped, what is said is safe."""
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals["_"] = _saying(language)
    environment.add_extension(_Whole)


def _saying(language: str) -> Callable[..., Markup]:
    """For what has facts in it, and for texts that code names, of which a menu says ten."""

    def said(text: str, **facts: object) -> Markup:
        return Markup(catalogue(language).gettext(text)) % facts  # noqa: S704  a text of ours; facts are escaped

    whole = lru_cache(_MOST_KEPT)(said)
    return lambda text, **facts: said(text, **facts) if facts else whole(text)


class _Whole(Extension):
    """A text without facts becomes part of the template, as if it stood there in the language."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        say = self.environment.globals["_"]
        tokens = list(stream)
        place = 0
        while place < len(tokens):
            line, kind, value = token = tokens[place]
            following = tokens[place : place + len(_CALL)]
            if (kind, value) == ("name", "_") and tuple(one.type for one in following) == _CALL:
                yield Token(line, "lparen", "(")
                yield Token(line, "string", str(say(following[2].value)))  # type: ignore[operator]
                yield Token(line, "pipe", "|")
                yield Token(line, "name", "safe")
                yield Token(line, "rparen", ")")
                place += len(_CALL)
            else:
                yield token
                place += 1
