"""Steps of a verification and how they are run: each one passes or fails with a sentence, and the next one runs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)


class Wrong(Exception):
    """A step found what must not be; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Step:
    """A promise in words, and its proof: a sentence on what was seen, or an exception."""

    promise: str
    prove: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one step."""

    step: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.word}  {self.step}: {self.detail}"

    @property
    def word(self) -> str:
        """PASS or FAIL."""
        return "PASS" if self.passed else "FAIL"


def run_steps(steps: Iterable[Step], *, tell: Callable[[Result], None]) -> tuple[Result, ...]:
    """Run them all in their order, each told as soon as it is known."""
    results = []
    for step in steps:
        result = _run(step)
        tell(result)
        results.append(result)
    return tuple(results)


def report(check: str, results: Iterable[Result]) -> dict[str, object]:
    """The results as the JSON line has them; a check without steps has proved nothing."""
    told = [{"step": each.step, "result": each.word, "detail": each.detail} for each in results]
    passed = bool(told) and all(each["result"] == "PASS" for each in told)
    return {"check": check, "passed": passed, "steps": told}


def same(what: str, found: object, wanted: object) -> None:
    """Raise Wrong unless both are equal."""
    if found != wanted:
        raise Wrong(f"{what}: found {found}, expected {wanted}.")


def _run(step: Step) -> Result:
    try:
        return Result(step=step.promise, passed=True, detail=step.prove())
    except Wrong as wrong:
        return Result(step=step.promise, passed=False, detail=str(wrong))
    except Exception as error:  # the boundary: whatever a step meets is its own failure
        log.error("A verification step raised.", action="verify", step=step.promise, exc_info=error)
        first_line = str(error).strip().partition("\n")[0]
        return Result(step=step.promise, passed=False, detail=f"{type(error).__name__}: {first_line}")
