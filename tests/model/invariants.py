"""The invariants of protocol.md, as a probe of every state."""

from __future__ import annotations

from collections import Counter

from tests.model.process import anomalous, judge_local, judge_stored, judge_tags, merge
from tests.model.server import alive, raw_sync, sync_script
from tests.model.state import Op, Process, Scenario, Server, State, Value


class Invariants:
    """Checks a state; `counts` tells how often misses were owed to floor or epoch."""

    def __init__(self, ctx: Scenario) -> None:
        self.ctx = ctx
        self.counts: Counter[str] = Counter()

    def __call__(self, state: State) -> str | None:
        if state.bad:
            return state.bad
        for i, process in enumerate(state.procs):
            if process.gone:
                continue
            bad = (
                self._trusted_read(process)
                or self._stale_read(state, process)
                or self._strong_read(state, i)
            )
            if bad:
                return f"P{i + 1} {bad}"
        return None

    def _trusted_read(self, process: Process) -> str | None:
        """1 and 4: what an L1 hit would return now, without I/O."""
        local, need = process.l1, process.need
        if not process.trust or local is None or local.version >= need:
            return None
        if not judge_local(self.ctx, process, local):
            return None
        return f"1: L1 hit returns v{local.version}, older than v{need}"

    def _stale_read(self, state: State, process: Process) -> str | None:
        """What L1 would return now to those who accept what was invalidated softly."""
        local, need = process.l1, process.hard_need
        if self.ctx.soft < 0 or not process.trust or local is None or local.version >= need:
            return None
        if not judge_local(self.ctx, process, local, state.over):
            return None
        return f"1: L1 returns v{local.version} as stale, older than v{need}"

    def _strong_read(self, state: State, i: int) -> str | None:
        """1 (strong), 5 and 6: a sync now, then both tiers."""
        ctx, process = self.ctx, state.procs[i]
        probe = Op("probe", "raw", epoch=process.epoch, last=process.last, by=i)
        probe = probe._replace(declares=process.bounds)
        reply = raw_sync(state.server, probe)
        if anomalous(ctx, process, probe, reply):
            state, reply = sync_script(ctx, state, probe)
        process, merged = merge(ctx, process, probe, reply)
        if not merged:
            return "4: the SYNC script did not let the process sync"
        local = process.l1
        if local and judge_local(ctx, process, local) and local.version < state.acked:
            return f"1: after a sync L1 returns v{local.version}, older than v{state.acked}"
        return self._stored(state, state.server, process)

    def _stored(self, state: State, server: Server, process: Process) -> str | None:
        ctx, value = self.ctx, server.value
        if value is None or value.tombstone or value.expired:
            return None
        judged = judge_stored(ctx, process, value)
        if judged and value.asof < process.known:
            judged = judge_tags(ctx, process._replace(tags=server.tags), value.asof)
        if judged and value.version < state.acked:
            return f"1/5: after a sync L2 returns v{value.version}, older than v{state.acked}"
        accepted = value.asof >= process.known and judge_stored(ctx, process, value, state.over)
        if ctx.soft >= 0 and accepted and value.version < state.hard_acked:
            return f"1: L2 returns v{value.version} as stale, not v{state.hard_acked}"
        if not judged and self._alive(server, value) and not process.pending:
            return f"6: v{value.version} in L2 is alive, yet judged dead"
        if value.version == state.db:
            self._count(server, value.epoch, value.asof)
        return None

    def _alive(self, server: Server, value: Value) -> bool:
        """Below its floor the key clock no longer knows what was born stale."""
        return value.asof >= server.kfloor and alive(self.ctx, server, value)

    def _count(self, server: Server, epoch: int, asof: int) -> None:
        if epoch != server.epoch:
            self.counts["current value dead by epoch"] += 1
        elif asof < server.floor:
            self.counts["current value dead by floor"] += 1
        elif any(server.tags[tag] > asof for tag in self.ctx.carried) or server.key > asof:
            self.counts["current value born stale"] += 1
