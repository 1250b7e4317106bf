/**
 * Passes on what clients have sent to one worker to the others, so that bounds by client hold for all of them together.
 * A worker that starts does not take messages yet, one that is stuck does not read them: for neither they queue up.
 */
import type { ClientNews } from '../ingress/http/clients/client-bounds.js'
import type { Slot, Slots } from './slots.js'

/** Messages on their way to a worker: of ten workers, what they say in a second. */
const UNSENT_MAX = 100

export class ClientNewsRelay {
  /** Messages that a worker has not taken yet. */
  private readonly unsent = new Map<Slot, number>()

  constructor (private readonly slots: Pick<Slots, 'all' | 'send'>) {}

  pass (from: Slot, news: ClientNews): void {
    for (const slot of this.slots.all) {
      const serves = slot.state === 'ready' || slot.state === 'retiring'
      if (slot === from || slot.listener.kind !== 'http' || !serves || this.unsentTo(slot) >= UNSENT_MAX) continue
      this.unsent.set(slot, this.unsentTo(slot) + 1)
      const onSent = (): void => { this.unsent.set(slot, Math.max(0, this.unsentTo(slot) - 1)) }
      if (!this.slots.send(slot, { type: 'client-news', news }, onSent)) onSent()
    }
  }

  died (slot: Slot): void {
    this.unsent.delete(slot)
  }

  private unsentTo (slot: Slot): number {
    return this.unsent.get(slot) ?? 0
  }
}
