/** How many connections each address, or network of IPv6, has to this worker. */
import type { AddressBound } from '../engines/engine.js'
import { clientAt, plain, type ClientAddresses } from './addresses.js'

export class ConnectionsByAddress implements AddressBound {
  private readonly counts = new Map<string, number>()

  constructor (private readonly max: number, private readonly addresses: ClientAddresses) {}

  open (address: string): boolean {
    const client = clientAt(address)
    const count = (this.counts.get(client) ?? 0) + 1
    this.counts.set(client, count)
    // Those of a proxy are of all its clients.
    return count <= this.max || this.addresses.isProxy(plain(address))
  }

  close (address: string): void {
    const client = clientAt(address)
    const count = (this.counts.get(client) ?? 0) - 1
    if (count > 0) this.counts.set(client, count)
    else this.counts.delete(client)
  }
}
