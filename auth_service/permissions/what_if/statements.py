"""The SQL about people, in its parts; people.py asks it and explains what it is for. Text only.

$1 now; $2 roles and $3 their kinds; $4 to $8 the grants that change, each side of each: user, role, start, end, side;
$9 kinds, $10 classes, $11 and $12 whether roles of the one give codes of the other before and after. The rest is said
where it is used. {grants} and {people} are the relations that are asked.
"""

FOR_EVER = 32767  # the rank of an end that never comes
WORD = 62  # kinds in one bigint

_KIND = "kind AS MATERIALIZED (SELECT role_name, kind{words} FROM unnest($2::text[], $3::int[]) AS k(role_name, kind))"
_CHANGED = (
    "changed AS MATERIALIZED (SELECT * FROM unnest($4::uuid[], $5::text[], $6::timestamptz[], $7::timestamptz[],"
    " $8::int[]) AS c(user_id, role_name, valid_from, valid_until, side))"
)
_GIVEN = (
    "given AS MATERIALIZED (SELECT * FROM unnest($9::int[], $10::int[], $11::bool[], $12::bool[])"
    " AS g(kind, class, before, after))"
)
# A grant that does not change counts before and after: its side is 3. `starts` and `ends` only where they lie ahead.
_HELD = """
held AS NOT MATERIALIZED (
    SELECT g.user_id, k.*, 3 AS side, CASE WHEN g.valid_from > $1 THEN g.valid_from END AS starts,
        g.valid_until AS ends
    FROM {grants} g JOIN kind k USING (role_name)
    WHERE (g.valid_until IS NULL OR g.valid_until > $1){whose}
"""
_HELD_CHANGED = """
    AND NOT EXISTS (SELECT FROM changed c WHERE c.user_id = g.user_id AND c.role_name = g.role_name)
    UNION ALL
    SELECT g.user_id, k.*, g.side, CASE WHEN g.valid_from > $1 THEN g.valid_from END, g.valid_until
    FROM changed g JOIN kind k USING (role_name)
    WHERE (g.valid_until IS NULL OR g.valid_until > $1){whose_changed}
"""
# What a user has, as one array: of each grant kind, side, and the ranks of its start and end among the user's moments.
_RANKED = """
    SELECT r.user_id, true AS ranked, array_agg(DISTINCT ((r.kind * 4 + r.side)::bigint << 32)
        | (CASE WHEN r.starts IS NULL THEN 0 ELSE k.starts END << 16)
        | CASE WHEN r.ends IS NULL THEN {for_ever} ELSE k.ends END) AS sort
    FROM (
        SELECT *, array_agg(starts) OVER mine || array_agg(ends) OVER mine AS moments
        FROM held{whose_ranked} WINDOW mine AS (PARTITION BY user_id)
    ) r CROSS JOIN LATERAL (
        SELECT count(DISTINCT m) FILTER (WHERE m <= r.starts) AS starts,
            count(DISTINCT m) FILTER (WHERE m <= r.ends) AS ends
        FROM unnest(r.moments) m
    ) k
    GROUP BY r.user_id
"""
_ALL_RANKED = f"sorted AS ({_RANKED})"
# Nearly everybody has one moment ahead at the most, or more of them only in kinds that they have for ever besides: no
# ranks are needed then. The kinds that they have for ever are bits, those that they have for a time too, and then
# whether that begins (1) or ends (2).
_MOSTLY_FLAT = f"""
flat AS (
    SELECT user_id, count(starts) + count(ends) AS moments, count(starts) AS begins, {{aggregates}}
    FROM held GROUP BY user_id
), sorted AS (
    SELECT user_id, false AS ranked,
        ARRAY[{{always}}, {{at_times}}, CASE WHEN {{no_times}} THEN 0 WHEN begins > 0 THEN 1 ELSE 2 END] AS sort
    FROM flat WHERE moments < 2 OR {{no_times}}
    UNION ALL {_RANKED}
)"""  # noqa: S608
_OTHERS = " WHERE user_id IN (SELECT user_id FROM flat WHERE moments > 1 AND NOT ({no_times}))"
# $13 the roles that differ.
_DIFFERING = "SELECT user_id FROM {grants} WHERE role_name = ANY($13::text[])"
# $14 the classes with codes of our own; $15 the login_key to go on after; $16 how many by name, $17 whether anybody is.
_COUNT = """
holder AS MATERIALIZED (
    SELECT p.id, p.login_key, s.ranked, s.sort FROM sorted s JOIN {people} p ON p.id = s.user_id
), sorts AS (
    SELECT ranked, sort, count(*) AS users, row_number() OVER () AS number FROM holder GROUP BY ranked, sort
), grants AS (
    SELECT s.number, (g >> 34)::int AS kind, ((g >> 32) & 3)::int AS side,
        int4range(((g >> 16) & 65535)::int, (g & 65535)::int) AS span
    FROM sorts s CROSS JOIN unnest(s.sort) AS g WHERE s.ranked
    UNION ALL {unfolded}
), judged AS MATERIALIZED (
    SELECT number, class, NOT isempty(has - had) AS gains, NOT isempty(had - has) AS loses
    FROM (
        SELECT o.number, g.class,
            coalesce(range_agg(o.span) FILTER (WHERE g.before AND (o.side & 1) > 0), '{{}}') AS had,
            coalesce(range_agg(o.span) FILTER (WHERE g.after AND (o.side & 2) > 0), '{{}}') AS has
        FROM grants o JOIN given g ON g.kind = o.kind
        GROUP BY o.number, g.class
    ) j
), touched AS MATERIALIZED (
    SELECT s.ranked, s.sort, s.users, j.* FROM sorts s JOIN (
        SELECT number, bool_or(gains) AS gains, bool_or(loses) AS loses,
            bool_or(loses AND class = ANY($14::int[])) AS administers
        FROM judged GROUP BY number HAVING bool_or(gains OR loses)
    ) j USING (number)
)
SELECT 'class' AS what, class, sum(users) FILTER (WHERE j.gains) AS gain, sum(users) FILTER (WHERE j.loses) AS lose,
    NULL::bigint AS administer, NULL::uuid AS id, NULL::text AS login_key
FROM judged j JOIN touched USING (number) GROUP BY class
UNION ALL
SELECT 'all', NULL, sum(users) FILTER (WHERE gains), sum(users) FILTER (WHERE loses),
    sum(users) FILTER (WHERE administers), NULL, NULL
FROM touched
UNION ALL (
    SELECT 'person', NULL, NULL, NULL, NULL, h.id, h.login_key FROM holder h JOIN touched t USING (ranked, sort)
    WHERE $17::bool AND ($15::text IS NULL OR h.login_key > $15) ORDER BY h.login_key LIMIT $16::int
) UNION ALL (
    SELECT 'administrator', NULL, NULL, NULL, NULL, h.id, h.login_key FROM holder h JOIN touched t USING (ranked, sort)
    WHERE $17::bool AND t.administers ORDER BY h.login_key LIMIT $16::int
)
ORDER BY what, login_key
"""
_NOTHING_FOLDED = "SELECT NULL, NULL, NULL, NULL WHERE false"
_UNFOLDED = """
    SELECT s.number, k.kind, 3, CASE
        WHEN (s.sort[1 + k.kind / {word}] >> k.kind % {word}) & 1 = 1 THEN int4range(0, {for_ever})
        WHEN s.sort[1 + 2 * {count}] = 1 THEN int4range(1, {for_ever})
        ELSE int4range(0, 1) END
    FROM sorts s CROSS JOIN generate_series(0, {count} * {word} - 1) AS k(kind)
    WHERE NOT s.ranked AND ((s.sort[1 + k.kind / {word}] | s.sort[1 + {count} + k.kind / {word}])
        >> k.kind % {word}) & 1 = 1
"""
# $13 the users.
_SPANS = """
times AS (
    SELECT h.user_id, g.class,
        coalesce(range_agg(s.span) FILTER (WHERE g.before AND (h.side & 1) > 0), '{{}}') AS had,
        coalesce(range_agg(s.span) FILTER (WHERE g.after AND (h.side & 2) > 0), '{{}}') AS has
    FROM held h JOIN given g ON g.kind = h.kind CROSS JOIN LATERAL (SELECT tstzrange(h.starts, h.ends) AS span) s
    GROUP BY h.user_id, g.class
)
SELECT user_id, class, true AS gain, lower(span) AS starts, upper(span) AS ends FROM times, unnest(has - had) AS span
UNION ALL
SELECT user_id, class, false, lower(span), upper(span) FROM times, unnest(had - has) AS span
"""
_OF_USERS = " AND g.user_id = ANY($13::uuid[])"


def count_statement(kinds: int, *, few: bool, changed: bool, grants: str, people: str) -> str:
    """`kinds`: how many there are; `few`: whether users are looked for by the roles that differ."""
    if changed:
        whose = f" AND g.user_id IN ({_DIFFERING} UNION ALL SELECT user_id FROM changed)"  # noqa: S608
        parts = [_held(whose, whose_changed=""), _ALL_RANKED.replace("{whose_ranked}", "")]
        words, unfolded = "", _NOTHING_FOLDED
    else:
        count = -(-kinds // WORD)
        numbers = range(count)
        no_times = " AND ".join(f"coalesce(t{n}, 0) & ~coalesce(f{n}, 0) = 0" for n in numbers)
        aggregates = ", ".join(
            f"bit_or(w{n}) FILTER (WHERE starts IS NULL AND ends IS NULL) AS f{n},"
            f" bit_or(w{n}) FILTER (WHERE starts IS NOT NULL OR ends IS NOT NULL) AS t{n}"
            for n in numbers
        )
        flat = (
            _MOSTLY_FLAT.replace("{whose_ranked}", _OTHERS)
            .replace("{aggregates}", aggregates)
            .replace("{always}", ", ".join(f"coalesce(f{n}, 0)" for n in numbers))
            .replace("{at_times}", ", ".join(f"coalesce(t{n}, 0) & ~coalesce(f{n}, 0)" for n in numbers))
            .replace("{no_times}", no_times)
        )
        # Without `few` the roles that differ are named all the same: a parameter that nothing uses has no type.
        whose = f" AND g.user_id IN ({_DIFFERING})" if few else " AND $13::text[] IS NOT NULL"
        parts = [_held(whose), flat]
        words = "".join(f", CASE WHEN kind / {WORD} = {n} THEN 1::bigint << kind % {WORD} END AS w{n}" for n in numbers)
        unfolded = _UNFOLDED.replace("{count}", str(count)).replace("{word}", str(WORD))
    return _statement(
        *(part.replace("{words}", words) for part in (_KIND, _CHANGED, _GIVEN, *parts)),
        _COUNT.replace("{unfolded}", unfolded),
        grants=grants,
        people=people,
    )


def spans_statement(*, changed: bool, grants: str) -> str:
    held = _held(_OF_USERS, whose_changed=_OF_USERS if changed else None)
    return _statement(_KIND.replace("{words}", ""), _CHANGED, _GIVEN, held, _SPANS, grants=grants, people="")


def _held(whose: str, *, whose_changed: str | None = None) -> str:
    text = _HELD.replace("{whose}", whose)
    return text + ("" if whose_changed is None else _HELD_CHANGED.replace("{whose_changed}", whose_changed)) + ")"


def _statement(*parts: str, grants: str, people: str) -> str:
    return f"WITH {', '.join(parts)}".format(grants=grants, people=people, for_ever=FOR_EVER)
