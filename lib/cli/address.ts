/** Addresses that clients on this machine can connect to. */

/** The host part of a URL for a listen address: wildcard addresses become loopback. */
export function reachable (host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
