/**
 * Spools of slots without a worker (lib/lane/orphans.ts): the first worker drains them, or another one while the first
 * is broken.
 */
import { isBroken, type Slot, type Slots } from './slots.js'

/** Slots that are not left over. @param drainer the worker that is to drain those that are */
export function slotsInUse (all: readonly Slot[], drainer: Slot): number[] {
  return all.flatMap((slot) => [slot.number, ...slot === drainer ? [] : slot.report?.orphans ?? []])
}

/** Call when a worker has died, while its slot still has the last report: what it was to drain, another one does. */
export function passOn (slots: Pick<Slots, 'all' | 'send'>, dead: Slot): void {
  const { all } = slots
  // If it is not broken, the first worker is started again, and drains them itself.
  const isOrphaned = dead === all[0] ? isBroken(dead) : (dead.report?.orphans ?? []).length > 0
  const drainer = all.find(({ state, listener }) => state === 'ready' && listener.kind === 'http')
  if (!isOrphaned || drainer === undefined) return
  const others = all.filter((slot) => slot !== dead)
  slots.send(drainer, { type: 'orphans', slotsInUse: [dead.number, ...slotsInUse(others, drainer)] })
}
