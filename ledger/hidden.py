"""A text that shows itself to nobody who does not ask for it: keys and passwords as settings and fields. Pure."""

from typing import NoReturn


class Hidden:
    """Prints as `<hidden>` wherever it is shown, and is never copied or written out; `reveal` is the only way in."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; who asks for it must not let it go further than it has to."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "<hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is never copied or written out.")
