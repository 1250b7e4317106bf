/** Addresses that a person or a program of this machine can connect to. */

/** An address to connect to, as it stands in a URL: "every network" is none. */
export function reachable (host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
