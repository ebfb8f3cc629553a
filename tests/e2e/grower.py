"""A process that grows on demand, and says by how much."""

from process import Victim

RSS_LAG = 512 << 10  # of the kernel's counters, and what it drops of files meanwhile


class Grown:
    """What the grower says of one order."""

    def __init__(self, numbers):
        (used, used_now, mapped, mapped_now, system, system_now, self.main, self.thread) = numbers
        self.used, self.mapped = used_now - used, mapped_now - mapped
        self.system = system_now - system


class Grower(Victim):
    def __init__(self, build, directory):
        super().__init__(build, directory, "grower", obeys=True)

    def grow(self):
        return Grown(self.order("g"))
