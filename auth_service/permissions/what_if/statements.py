"""The SQL about people, in its parts; people.py asks it and explains what it is for. Text only.

$1 now; $2 roles and $3 their kinds; $4 to $8 the grants that change, each side of each: user, role, start, end, side;
$9 kinds, $10 classes, $11 and $12 whether roles of the one give codes of the other before and after. The rest is said
where it is used. {grants} and {people} are the relations that are asked.
"""

FOR_EVER = 32767  # the rank of an end that never comes
WORD = 30  # kinds in one bigint, each twice: what users have for ever, and what they have for a time
FIRST = 5000  # people who are looked at by name before all of them are

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
# Nearly everybody has at most one grant for a time, or more of them only in kinds that they have for ever besides. Such
# a user is a few words of bits: the kinds for ever, those for a time, and at the top of the first word whether that
# begins (1) or ends (2) ahead, or both. -1 stands for everybody else, who is ranked.
_FLAT = """
flat AS MATERIALIZED (
    SELECT user_id, {sorts}
    FROM (
        SELECT user_id, count(*) FILTER (WHERE starts IS NOT NULL OR ends IS NOT NULL) AS times, {words_of}
        FROM held GROUP BY user_id
    ) m
    WHERE {counts}
)"""
# What one of the others has, as one array: of each grant kind, side, and the ranks of its start and end among the
# moments of that user.
_RANKED = """
ranked AS MATERIALIZED (
    SELECT m.user_id, array_agg(DISTINCT ((m.kind * 4 + m.side)::bigint << 32)
        | (CASE WHEN m.starts IS NULL THEN 0 ELSE k.starts END << 16)
        | CASE WHEN m.ends IS NULL THEN {for_ever} ELSE k.ends END) AS sort
    FROM (
        SELECT *, array_agg(starts) OVER mine || array_agg(ends) OVER mine AS moments
        FROM held m WHERE {whose_ranked} WINDOW mine AS (PARTITION BY user_id)
    ) m CROSS JOIN LATERAL (
        SELECT count(DISTINCT moment) FILTER (WHERE moment <= m.starts) AS starts,
            count(DISTINCT moment) FILTER (WHERE moment <= m.ends) AS ends
        FROM unnest(m.moments) AS moment
    ) k
    GROUP BY m.user_id
)"""
_NOT_FLAT = "user_id IN (SELECT user_id FROM flat WHERE s0 < 0)"
# $13 the roles that differ.
_DIFFERING = "SELECT user_id FROM {grants} WHERE role_name = ANY($13::text[])"
# Sorts of users are numbered from 1 where they are ranked, and from -1 down where they are flat.
_RANKED_SORTS = """
ranked_sort AS MATERIALIZED (
    SELECT sort, count(*) AS users, row_number() OVER () AS number FROM ranked GROUP BY sort
)"""
_FLAT_SORTS = """
flat_sort AS MATERIALIZED (
    SELECT {columns}, count(*) AS users, -row_number() OVER () AS number FROM flat WHERE s0 >= 0 GROUP BY {columns}
)"""
_RANKED_GRANTS = """
    SELECT s.number, (g >> 34)::int AS kind, ((g >> 32) & 3)::int AS side,
        int4range(((g >> 16) & 65535)::int, (g & 65535)::int) AS span
    FROM ranked_sort s CROSS JOIN unnest(s.sort) AS g
"""
_FLAT_GRANTS = """
    UNION ALL
    SELECT s.number, s.kind, 3, CASE
        WHEN (s.word >> s.kind % {word}) & 1 = 1 THEN int4range(0, {for_ever})
        WHEN s.times = 1 THEN int4range(1, {for_ever})
        WHEN s.times = 2 THEN int4range(0, 1)
        ELSE int4range(1, 2) END
    FROM (
        SELECT number, kind, s0 >> {flags} AS times, (ARRAY[{columns}])[1 + kind / {word}] AS word
        FROM flat_sort CROSS JOIN generate_series(0, {kinds} - 1) AS k(kind)
    ) s
    WHERE ((s.word | (s.word >> {word})) >> s.kind % {word}) & 1 = 1
"""
_RANKED_SORT_USERS = "SELECT number, users FROM ranked_sort"
_RANKED_HOLDERS = "SELECT user_id, number FROM ranked JOIN ranked_sort USING (sort)"
# $14 the classes with codes of our own; $15 the login_key to go on after; $16 how many by name, $17 whether anybody is.
# Who is shown by name is first looked for among the first by name: where many are touched, that is enough.
_COUNT = """
judged AS MATERIALIZED (
    SELECT number, class, NOT isempty(has - had) AS gains, NOT isempty(had - has) AS loses
    FROM (
        SELECT o.number, g.class,
            coalesce(range_agg(o.span) FILTER (WHERE g.before AND (o.side & 1) > 0), '{{}}') AS had,
            coalesce(range_agg(o.span) FILTER (WHERE g.after AND (o.side & 2) > 0), '{{}}') AS has
        FROM ({sort_grants}) o JOIN given g ON g.kind = o.kind
        GROUP BY o.number, g.class
    ) j
), touched AS MATERIALIZED (
    SELECT s.users, j.* FROM ({sort_users}) s JOIN (
        SELECT number, bool_or(gains) AS gains, bool_or(loses) AS loses,
            bool_or(loses AND class = ANY($14::int[])) AS administers
        FROM judged GROUP BY number HAVING bool_or(gains OR loses)
    ) j USING (number)
), holder AS NOT MATERIALIZED ({holders}
), first AS MATERIALIZED (
    SELECT id, login_key FROM {people} p WHERE $17::bool AND ($15::text IS NULL OR login_key > $15)
    ORDER BY login_key LIMIT {first}
), near AS MATERIALIZED (
    SELECT f.* FROM holder h JOIN touched USING (number) JOIN first f ON f.id = h.user_id
), enough AS MATERIALIZED (
    SELECT (SELECT count(*) FROM near) >= $16::int OR (SELECT count(*) FROM first) < {first} AS enough
)
SELECT 'class' AS what, class, sum(users) FILTER (WHERE j.gains) AS gain, sum(users) FILTER (WHERE j.loses) AS lose,
    NULL::bigint AS administer, NULL::uuid AS id, NULL::text AS login_key
FROM judged j JOIN touched USING (number) GROUP BY class
UNION ALL
SELECT 'all', NULL, sum(users) FILTER (WHERE gains), sum(users) FILTER (WHERE loses),
    sum(users) FILTER (WHERE administers), NULL, NULL
FROM touched
UNION ALL (
    SELECT 'person', NULL, NULL, NULL, NULL, id, login_key FROM near WHERE (SELECT enough FROM enough)
    ORDER BY login_key LIMIT $16::int
) UNION ALL (
    SELECT 'person', NULL, NULL, NULL, NULL, p.id, p.login_key
    FROM holder h JOIN touched USING (number) JOIN {people} p ON p.id = h.user_id
    WHERE $17::bool AND NOT (SELECT enough FROM enough) AND ($15::text IS NULL OR p.login_key > $15)
    ORDER BY p.login_key LIMIT $16::int
) UNION ALL (
    SELECT 'administrator', NULL, NULL, NULL, NULL, p.id, p.login_key
    FROM holder h JOIN touched t USING (number) JOIN {people} p ON p.id = h.user_id
    WHERE $17::bool AND t.administers ORDER BY p.login_key LIMIT $16::int
)
ORDER BY what, login_key
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


def count_statement(kinds: int, *, few: bool, changed: bool, grants: str, people: str, counts: str) -> str:
    """`kinds`: how many there are; `few`: whether users are looked for by the roles that differ."""
    if changed:
        whose = f" AND g.user_id IN ({_DIFFERING} UNION ALL SELECT user_id FROM changed)"  # noqa: S608
        held, words = [_held(whose, whose_changed=""), _RANKED.replace("{whose_ranked}", counts)], ""
        sorts, sort_grants, sort_users, holders = [_RANKED_SORTS], _RANKED_GRANTS, _RANKED_SORT_USERS, _RANKED_HOLDERS
    else:
        numbers = range(-(-kinds // WORD))
        columns = ", ".join(f"s{n}" for n in numbers)
        # Without `few` the roles that differ are named all the same: a parameter that nothing uses has no type.
        whose = f" AND g.user_id IN ({_DIFFERING})" if few else " AND $13::text[] IS NOT NULL"
        held = [_held(whose), _flat(numbers, counts), _RANKED.replace("{whose_ranked}", _NOT_FLAT)]
        words = "".join(
            f", CASE WHEN kind / {WORD} = {n} THEN 1::bigint << kind % {WORD} ELSE 0 END AS w{n}" for n in numbers
        )
        sorts = [_RANKED_SORTS, _FLAT_SORTS.replace("{columns}", columns)]
        sort_grants = _RANKED_GRANTS + (
            _FLAT_GRANTS.replace("{columns}", columns)
            .replace("{kinds}", str(kinds))
            .replace("{word}", str(WORD))
            .replace("{flags}", str(2 * WORD))
        )
        sort_users = f"{_RANKED_SORT_USERS} UNION ALL SELECT number, users FROM flat_sort"  # noqa: S608
        holders = f"{_RANKED_HOLDERS} UNION ALL SELECT user_id, number FROM flat JOIN flat_sort USING ({columns})"  # noqa: S608
    return _statement(
        *(part.replace("{words}", words) for part in (_KIND, _CHANGED, _GIVEN, *held, *sorts)),
        _COUNT.replace("{sort_grants}", sort_grants)
        .replace("{sort_users}", sort_users)
        .replace("{holders}", holders)
        .replace("{first}", str(FIRST)),
        grants=grants,
        people=people,
    )


def _flat(numbers: range, counts: str) -> str:
    # To Postgres |, & and the shifts bind alike, from the left.
    mask, top = (1 << WORD) - 1, 2 * WORD
    times = (
        f"((CASE WHEN starts IS NULL THEN 0 ELSE 1 END + CASE WHEN ends IS NULL THEN 0 ELSE 2 END)::bigint << {top})"
    )
    words_of = ", ".join(
        f"bit_or(CASE WHEN starts IS NULL AND ends IS NULL THEN w{n}"
        f" ELSE (w{n} << {WORD}){'' if n else ' | ' + times} END) AS w{n}"
        for n in numbers
    )
    for_ever = [f"(w{n} & {mask})" for n in numbers]
    at_times = [f"((w{n} >> {WORD}) & ~w{n} & {mask})" for n in numbers]
    sorts = ", ".join(
        f"CASE WHEN ({' | '.join(at_times)}) = 0 THEN {for_ever[n]} WHEN times > 1 THEN {0 if n else -1}"
        f" ELSE {for_ever[n]} | ({at_times[n]} << {WORD}){'' if n else f' | (w0 >> {top} << {top})'} END AS s{n}"
        for n in numbers
    )
    return _FLAT.replace("{sorts}", sorts).replace("{words_of}", words_of).replace("{counts}", counts)


def spans_statement(*, changed: bool, grants: str) -> str:
    held = _held(_OF_USERS, whose_changed=_OF_USERS if changed else None)
    return _statement(_KIND.replace("{words}", ""), _CHANGED, _GIVEN, held, _SPANS, grants=grants, people="")


def _held(whose: str, *, whose_changed: str | None = None) -> str:
    text = _HELD.replace("{whose}", whose)
    return text + ("" if whose_changed is None else _HELD_CHANGED.replace("{whose_changed}", whose_changed)) + ")"


def _statement(*parts: str, grants: str, people: str) -> str:
    return f"WITH {', '.join(parts)}".format(grants=grants, people=people, for_ever=FOR_EVER)
