"""What holds for every page: its headers, nothing inline, its structure, and its language."""

import itertools
import re

from tests.support.reader import Page, words_of

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# What stands in Latin letters on a Russian page: names, the key and the codes.
FOREIGN = re.compile(
    r"(?:\b[A-Z2-7]{4}\b ?){8}|\b[a-z0-9]{4}(?:-[a-z0-9]{4}){3}\b|[\w.]*reader[\w.@]*"
    r"|\b(?:EN|RU|English|Cinema|API|OpenAPI|PostgreSQL|Redis|UTC|QR|anna@example\.com)\b"
    r"|films:watch|/health/ready|auth-service keys rotate|night-critic|ticket-office|\b(?:CSV|POST|https)\b"
)
NAMES = re.compile(r"<(bdi|code|datalist|h1|title)\b.*?</\1>", re.DOTALL)


def in_order(page: Page, language: str, *, names: bool = False) -> None:
    """What every page promises. `names`: those that people gave stand on it, each marked as what it is."""
    html, headers = page.html, page.answer.headers
    assert page.status == 200, page.path
    assert dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; ")) == POLICY
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["content-language"] == language
    assert f'<html lang="{language}">' in html
    inline = r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:|https?://(?!www\.w3)"
    assert re.findall(inline, NAMES.sub(" ", html) if names else html) == [], page.path
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    for name in re.findall(r'<input id="([^"]*)"', html):
        assert f'<label for="{name}">' in html
    forms = re.findall(r'<form method="post".*?</form>', html, re.DOTALL)
    assert all(len(re.findall(r'name="csrf" value="[^"]{20,}"', form)) == 1 for form in forms)
    if language == "ru":
        said = words_of(NAMES.sub(" ", html)) if names else page.words
        assert re.findall(r"[A-Za-z]{3,}", FOREIGN.sub("", said)) == [], page.path
