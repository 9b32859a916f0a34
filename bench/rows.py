"""What was measured against its mark."""

from dataclasses import dataclass

HEAD = "| target | mark | measured | reached |\n|---|---|---|---|"


@dataclass
class Row:
    target: str
    mark: str
    measured: str
    reached: bool

    def __str__(self):
        return f"| {self.target} | {self.mark} | {self.measured} | {'yes' if self.reached else '**no**'} |"


def spread(values):
    return f"{min(values):,.0f}–{max(values):,.0f}"
