"""One token's book as the market channel tells it: a whole book, then the new totals of levels that changed."""

from datetime import datetime

from execution.book_frames import Changed, Whole
from execution.books import Book, Level
from ledger.units import Micros, Side

Place = tuple[Side, int]
"""A side of the book and a price; BUY is the side of the bids."""


class Watch:
    """Every size that each level had while somebody fetched the same book elsewhere."""

    def __init__(self, levels: dict[Place, int]) -> None:
        self._seen: dict[Place, set[int]] = {place: {size} for place, size in levels.items()}

    def note(self, place: Place, before: int, now: int) -> None:
        """A level changed."""
        self._seen.setdefault(place, {before}).add(now)

    def differing(self, book: Book) -> int:
        """Levels whose size in this book they never had meanwhile: neither early nor late, but of another book."""
        fetched: dict[Place, int] = {(Side.BUY, each.price_micros): each.size_micros for each in book.bids}
        fetched |= {(Side.SELL, each.price_micros): each.size_micros for each in book.asks}
        places = fetched.keys() | self._seen.keys()
        return sum(fetched.get(place, 0) not in self._seen.get(place, {0}) for place in places)


class Ladder:
    """The levels by price; what is older than the newest word on a level is passed over."""

    def __init__(self, whole: Whole, *, version: str, heard_ms: float, as_of: datetime) -> None:
        self._sizes: dict[Place, int] = {}
        self._stamps: dict[Place, int] = {}
        self._watches: list[Watch] = []
        self._book: Book | None = None
        self.put(whole, version=version, heard_ms=heard_ms, as_of=as_of)

    def put(self, whole: Whole, *, version: str, heard_ms: float, as_of: datetime) -> None:
        """Begin anew with a whole book, which is not empty of what was said before it."""
        self.token_id = whole.book.token_id
        sizes: dict[Place, int] = {(Side.BUY, each.price_micros): each.size_micros for each in whole.book.bids}
        sizes |= {(Side.SELL, each.price_micros): each.size_micros for each in whole.book.asks}
        for place in sizes.keys() | self._sizes.keys():
            self._noted(place, self._sizes.get(place, 0), sizes.get(place, 0))
        self._sizes, self._stamps, self._from_ms = sizes, {}, whole.stamp_ms
        self.stamp_ms = whole.stamp_ms
        self._heard(version, heard_ms, as_of)

    def apply(self, changed: Changed, *, version: str, heard_ms: float, as_of: datetime) -> bool:
        """Take over changed levels; False when the best prices then are not those that were told with them."""
        late = changed.stamp_ms < self.stamp_ms
        for each in changed.levels:
            place = (each.side, int(each.price_micros))
            if changed.stamp_ms < max(self._from_ms, self._stamps.get(place, 0)):
                continue
            before = self._sizes.pop(place, 0)
            self._stamps[place] = changed.stamp_ms
            if each.size_micros:
                self._sizes[place] = each.size_micros
            self._noted(place, before, each.size_micros)
        self._heard(version, heard_ms, as_of)
        if late:
            # Its best prices are history.
            return True
        self.stamp_ms = changed.stamp_ms
        return self._fits(changed)

    def book(self) -> Book | None:
        """The book now; None while its sides cross, which no market does for longer than a moment."""
        if self._book is None:
            bids, asks = self._side(Side.BUY), self._side(Side.SELL)
            self._book = Book(token_id=self.token_id, bids=bids, asks=asks, version=self.version)
        bids, asks = self._book.bids, self._book.asks
        crossed = bool(bids and asks) and bids[0].price_micros >= asks[0].price_micros
        return None if crossed else self._book

    def watch(self) -> Watch:
        """Begin to note what every level holds, until `unwatch`."""
        watch = Watch(self._sizes)
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Note no more for it."""
        self._watches.remove(watch)

    def _fits(self, changed: Changed) -> bool:
        bid = max((price for side, price in self._sizes if side is Side.BUY), default=None)
        ask = min((price for side, price in self._sizes if side is Side.SELL), default=None)
        told_bid, told_ask = changed.best_bid_micros, changed.best_ask_micros
        return (told_bid is None or told_bid == bid) and (told_ask is None or told_ask == ask)

    def _heard(self, version: str, heard_ms: float, as_of: datetime) -> None:
        self.version, self.heard_ms, self.as_of = version, heard_ms, as_of
        self._book = None

    def _noted(self, place: Place, before: int, now: int) -> None:
        for watch in self._watches:
            watch.note(place, before, now)

    def _side(self, side: Side) -> tuple[Level, ...]:
        found = [Level(Micros(price), Micros(size)) for (of, price), size in self._sizes.items() if of is side]
        found.sort(key=lambda level: level.price_micros, reverse=side is Side.BUY)
        return tuple(found)
