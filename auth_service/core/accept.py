"""What a client would rather have, by RFC 9110 section 12.4.2. Pure."""


def by_preference(header: str) -> list[str]:
    """The items of Accept, Accept-Encoding or Accept-Language, those that are wanted most first, without their q.

    What is not wanted at all (q=0), or has a weight that is none, is left out.
    """
    weighed = []
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights = [text[2:] for text in parameters if text[:2].lower() == "q="]
        weight = _weight(weights[0]) if weights else 1.0
        if name and weight:
            kept = (text for text in parameters if text[:2].lower() != "q=")
            weighed.append((weight, ";".join((name, *kept))))
    return [item for _, item in sorted(weighed, key=lambda pair: -pair[0])]


def _weight(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0.0 <= number <= 1.0 else 0.0
