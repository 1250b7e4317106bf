/**
 * The client of a request by its address: that of the connection or, if that is a trusted proxy, the address that the
 * proxy has added to X-Forwarded-For. Nobody else is believed.
 */
import { BlockList, isIP } from 'node:net'
import type { HttpRequest } from '../engines/engine.js'

/** Proxies in a row. */
const HOPS_MAX = 8
const GROUPS = 8
/** Who has one address of IPv6 usually has the 2^64 of its network. */
const NETWORK_GROUPS = 4
const MAPPED = [0, 0, 0, 0, 0, 0xffff]

export class ClientAddresses {
  private readonly proxies = new BlockList()
  private readonly hasProxies: boolean

  /** @param proxies addresses and networks (`10.0.0.0/8`) */
  constructor (proxies: readonly string[]) {
    this.hasProxies = proxies.length > 0
    for (const proxy of proxies) {
      const [address = '', bits] = proxy.split('/')
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.proxies.addAddress(address, family)
      else this.proxies.addSubnet(address, Number(bits), family)
    }
  }

  /** An IPv4 address, or a network of IPv6 (`2001:db8:0:1::/64`). */
  of (request: Pick<HttpRequest, 'address' | 'header'>): string {
    let address = plain(request.address())
    if (!this.hasProxies || !this.isProxy(address)) return networkOf(address)
    const hops = request.header('x-forwarded-for').split(',').slice(-HOPS_MAX)
    for (const hop of hops.reverse()) {
      const next = plain(withoutPort(hop.trim()))
      // Not an address, such as `unknown`: the last one that is known stands for it.
      if (isIP(next) === 0) break
      address = next
      if (!this.isProxy(address)) break
    }
    return networkOf(address)
  }

  isProxy (address: string): boolean {
    const family = isIP(address)
    return family !== 0 && this.proxies.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** The address without its port, if it has one: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort (text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text)
  return bracketed?.[1] ?? text.replace(/^([\d.]+):\d+$/, '$1')
}

/** IPv4 as such, also where it is written as an address of IPv6 (`::ffff:192.0.2.1`). */
export function plain (address: string): string {
  if (!address.includes(':')) return address
  const groups = groupsOf(address)
  if (groups === null || !MAPPED.every((group, index) => groups[index] === group)) return address
  return groups.slice(MAPPED.length).flatMap((group) => [group >> 8, group & 255]).join('.')
}

/** The client at an address as a socket has it: an IPv4 address, or a network of IPv6. */
export function clientAt (address: string): string {
  return networkOf(plain(address))
}

function networkOf (address: string): string {
  const groups = address.includes(':') ? groupsOf(address) : null
  if (groups === null) return address
  return `${groups.slice(0, NETWORK_GROUPS).map((group) => group.toString(16)).join(':')}::/64`
}

/** The eight groups of an address of IPv6; null: it is none. */
function groupsOf (address: string): number[] | null {
  const text = address.split('%')[0] ?? ''
  if (isIP(text) !== 6) return null
  const ipv4 = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  const hex = ipv4 === null ? text : text.slice(0, ipv4.index) + ipv4Groups(ipv4.slice(1).map(Number))
  const [head = '', tail] = hex.split('::')
  const parse = (part: string): number[] => part === '' ? [] : part.split(':').map((group) => parseInt(group, 16))
  const [first, last] = [parse(head), parse(tail ?? '')]
  return [...first, ...new Array<number>(GROUPS - first.length - last.length).fill(0), ...last]
}

function ipv4Groups ([a = 0, b = 0, c = 0, d = 0]: readonly number[]): string {
  return `${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`
}
