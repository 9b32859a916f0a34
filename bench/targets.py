"""Measures what the service is held to, and judges it. `bench/targets` builds what this takes."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import delivery
import embedded
import footprint
import growth
import subscriptions
from place import Options, Place
from programs import Failure, machine, tell
from rows import HEAD

HERE = Path(__file__).resolve().parent
RESULT = HERE.parent / "target/bench/targets.md"
# What changes the catalog comes last.
PARTS = {
    "footprint": footprint, "delivery": delivery, "growth": growth, "subscriptions": subscriptions,
    "embedded": embedded,
}


def main():
    # So that all that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        program, *chosen = sys.argv[1:]
        measure(Options.read(program), choice(chosen))
    except (Failure, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"targets: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def choice(names):
    if unknown := set(names) - PARTS.keys():
        raise Failure(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return [part for name, part in PARTS.items() if not names or name in names]


def measure(options, parts):
    """All rows, each of which is told when it is there."""
    lines = [about(options), "", HEAD]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colophon-targets.")))
        place = Place(options, folder, stack)
        for part in parts:
            for row in part.measure(place):
                tell(row)
                lines.append(str(row))
    text = "\n".join(lines) + "\n"
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    print(text, end="")


def about(options):
    its = machine(options, "")
    return (
        f"{its['colophon']}; {its['cpu']}, {its['cores']} CPUs, Linux {its['kernel']}. "
        f"{options.books:,} books unless said otherwise; {options.repeats} × {options.seconds} s, medians; in "
        "parentheses the least and the greatest, or both sides of a ratio."
    )


if __name__ == "__main__":
    main()
