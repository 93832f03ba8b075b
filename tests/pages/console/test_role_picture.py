"""The picture of the roles: columns, lines, what is near a role, and the same in words."""

import itertools

from auth_service.pages.console.role_picture import (
    BOX_HEIGHT,
    BOX_WIDTH,
    MOST,
    Branch,
    Parents,
    _in_columns,
    around,
    crossings,
    draw,
    outline,
)

CINEMA: Parents = {
    "guest": [],
    "viewer": ["guest"],
    "subscriber": ["viewer"],
    "moderator": ["viewer"],
    "content-manager": ["viewer"],
    "admin": ["subscriber", "moderator", "content-manager"],
    "superuser": [],
}


def test_a_child_stands_to_the_right_of_its_parents_and_no_two_boxes_touch() -> None:
    picture = draw(CINEMA)
    at = {box.name: box for box in picture.boxes}
    assert at.keys() == CINEMA.keys()
    for child, parents in CINEMA.items():
        assert all(at[parent].x + BOX_WIDTH < at[child].x for parent in parents)
    for one, other in itertools.combinations(picture.boxes, 2):
        assert one.x != other.x or abs(one.y - other.y) >= BOX_HEIGHT + 4
    for box in picture.boxes:
        assert 0 <= box.x <= picture.width - BOX_WIDTH
        assert 0 <= box.y <= picture.height - BOX_HEIGHT
    assert len(picture.lines) == sum(len(parents) for parents in CINEMA.values())


def test_each_line_leads_from_its_parent_to_its_child_and_through_no_box() -> None:
    parents: Parents = {"a": [], "b": ["a"], "c": ["b"], "d": ["c", "a"], "e": ["a"]}
    picture = draw(parents)
    at = {box.name: box for box in picture.boxes}
    middle = {name: (box.x, box.y + BOX_HEIGHT // 2) for name, box in at.items()}
    ends = {
        (f"M{middle[parent][0] + BOX_WIDTH} {middle[parent][1]}", f"{middle[child][0]} {middle[child][1]}")
        for child, its in parents.items()
        for parent in its
    }
    assert {(line.split(" C")[0], " ".join(line.split()[-2:])) for line in picture.lines} == ends
    (long,) = (line for line in picture.lines if line.count("C") == 3)
    for words in long.split("C")[1:-1]:
        x, y = (int(number) for number in words.split(" H")[0].split()[-2:])
        assert not any(box.x == x and box.y <= y <= box.y + BOX_HEIGHT for box in picture.boxes)


def test_lines_that_need_not_cross_do_not() -> None:
    tangled: Parents = {
        **{f"p{n}": [] for n in range(6)},
        **{f"c{n}": [f"p{5 - n}"] for n in range(6)},
        **{f"g{n}": [f"c{(n + 3) % 6}"] for n in range(6)},
    }
    columns, _, after = _in_columns(tangled)
    assert crossings(columns, after) > 10
    boxes = {box.name: box.y for box in draw(tangled).boxes}
    order = [sorted((name for name in boxes if name[0] == kind), key=lambda name: boxes[name]) for kind in "pcg"]
    assert crossings([[(name,) for name in names] for names in order], after) == 0


def test_of_many_roles_those_near_one_are_shown() -> None:
    many: Parents = {"root": [], "base": ["root"], **{f"r{n:03}": ["base"] for n in range(200)}, "leaf": ["r199"]}
    shown, left_out = around(many, "base")
    assert len(shown) == MOST
    assert {"root", "base"} <= shown.keys()
    assert "leaf" not in shown, "what is near comes first"
    assert left_out == len(many) - MOST
    assert around(many, "leaf") == ({"leaf": {"r199"}, "r199": {"base"}, "base": {"root"}, "root": set()}, 0)
    assert len(draw(shown).boxes) == MOST


def test_the_same_in_words_names_each_role_and_repeats_no_branch() -> None:
    words = outline(CINEMA)
    assert [branch.name for branch in words] == ["guest", "superuser"]
    (viewer,) = words[0].children
    assert [branch.name for branch in viewer.children] == ["content-manager", "moderator", "subscriber"]
    assert [branch.children for branch in viewer.children] == [[Branch("admin", [], again=False)]] + [
        [Branch("admin", (), again=False)]
    ] * 2
    steps: Parents = {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]}
    assert outline(steps)[1].children == [Branch("c", (), again=True)]


def test_nothing_and_one_are_pictures_too() -> None:
    assert draw({}).boxes == []
    assert len(draw({"alone": ["elsewhere"]}).boxes) == 1
