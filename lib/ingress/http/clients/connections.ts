/** How many connections each address has to this worker. */
import type { AddressBound } from '../engines/engine.js'
import type { ClientAddresses } from './addresses.js'
import { plain } from './addresses.js'

export class ConnectionsByAddress implements AddressBound {
  private readonly counts = new Map<string, number>()

  constructor (private readonly max: number, private readonly addresses: ClientAddresses) {}

  open (address: string): boolean {
    const count = (this.counts.get(address) ?? 0) + 1
    this.counts.set(address, count)
    // Those of a proxy are of all its clients.
    return count <= this.max || this.addresses.isProxy(plain(address))
  }

  close (address: string): void {
    const count = (this.counts.get(address) ?? 0) - 1
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}
