/**
 * Whether connections that wait in the queue of a listening socket move to another one on the same port when it is
 * closed (net.ipv4.tcp_migrate_req of Linux, from 5.14); otherwise the kernel resets them. That concerns sockets shared
 * with SO_REUSEPORT.
 */
import { readFile } from 'node:fs/promises'

const FILE = '/proc/sys/net/ipv4/tcp_migrate_req'

export async function migratesConnections (): Promise<boolean> {
  return (await readFile(FILE, 'latin1').catch(() => '0')).trim() === '1'
}
