"""One for all the worlds that differ in names alone: symmetry reduction."""

from protocol.model import Model
from protocol.world import NOBODY, Worker, World

# Store, disk, workers, and the fence of the late call.
Parts = tuple[int, int, tuple[Worker, Worker], int]


class Symmetry:
    """Which worker is which, and what fences are called, makes no difference."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._same: dict[Parts, Parts] = {}

    def same(self, w: World) -> World:
        """The world that stands for this one."""
        late = w.late[1] if len(w.late) > 1 and isinstance(w.late[1], int) else 0
        key = (w.store, w.disk, w.workers, late)
        if key not in self._same:
            self._same[key] = self.named_anew(*key)
        store, disk, workers, name = self._same[key]
        call = (w.late[0], name, *w.late[2:]) if late else w.late
        return w._replace(store=store, disk=disk, workers=workers, late=call)

    def named_anew(self, store: int, disk: int, workers: tuple[Worker, Worker], late: int) -> Parts:
        kept = [self.model.stores[n] for n in (store, disk) if n >= 0]
        fences = [late, *(fence for s in kept for fence in (s.fence, s.begun, s.finished))]
        first, second = sorted(workers, key=lambda worker: (worker[1:], [worker.fence == fence for fence in fences]))
        names = {0: 0}
        for fence in (first.fence, second.fence, late):
            names.setdefault(fence, len(names))
        for s in kept:
            if s.begun in names:
                names.setdefault(s.fence, len(names))
        workers = first._replace(fence=names[first.fence]), second._replace(fence=names[second.fence])
        return self.renamed(store, names), self.renamed(disk, names), workers, names[late]

    def renamed(self, store: int, names: dict[int, int]) -> int:
        if store < 0:
            return store
        s = self.model.stores[store]
        fence, begun, finished = names.get(s.fence, NOBODY), names.get(s.begun, 0), names.get(s.finished, 0)
        waiting = s.waiting if finished else 0
        return self.model.number(s._replace(fence=fence, begun=begun, finished=finished, waiting=waiting))
