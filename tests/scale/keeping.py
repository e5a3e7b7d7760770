"""Asked of a worker by a test."""


def kept() -> list[str]:
    """What it keeps of works it has helped with."""
    from landscape.runs import parts

    return list(parts._kept)
