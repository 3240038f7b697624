"""Names of files as the system has them: bytes, which are not always text."""


def is_utf8(name: str) -> bool:
    """Whether a file's name, as Python reads it, can be written into a document."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
