/**
 * Datagrams the kernel dropped before this process could read them, mostly because the receive buffer was full.
 *
 * Source: the last column of /proc/net/udp and /proc/net/udp6 (Linux, net/ipv4/udp.c), one line per socket:
 *
 *   sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ref pointer drops
 *    0 1             2           3  4     5       6        7   8       9     10  11      12
 *
 * The socket is identified by its inode: the one at our port that this process has open. Other systems do not report
 * drops, which is null here.
 */
import { readFile, readdir, readlink } from 'node:fs/promises'

const TABLES = ['/proc/net/udp', '/proc/net/udp6']
const LOCAL_ADDRESS = 1
const INODE = 9
const DROPS = 12

interface Row {
  readonly port: number
  readonly inode: string
  readonly drops: number
}

/** Parses one of the tables. */
export function parseSocketTable (text: string): Row[] {
  return text.split('\n').slice(1).flatMap(line => {
    const columns = line.trim().split(/\s+/)
    const port = columns[LOCAL_ADDRESS]?.split(':')[1]
    const inode = columns[INODE]
    const drops = columns[DROPS]
    if (port === undefined || inode === undefined || drops === undefined) return []
    return [{ port: Number.parseInt(port, 16), inode, drops: Number(drops) }]
  })
}

async function readTables (): Promise<Row[]> {
  const texts = await Promise.all(TABLES.map(path => readFile(path, 'utf8').catch(() => '')))
  return texts.flatMap(parseSocketTable)
}

/** Inodes of the sockets this process has open. */
async function ownInodes (): Promise<Set<string>> {
  const names = await readdir('/proc/self/fd')
  // A file may have been closed in the meantime.
  const links = await Promise.all(names.map(name => readlink(`/proc/self/fd/${name}`).catch(() => '')))
  return new Set(links.flatMap(link => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
}

export class KernelDrops {
  private inode: string | null = null
  /** Counted by the process that had the socket before; null: not yet read. */
  private before: number | null

  /**
   * @param port local port of a UDP socket this process has open
   * @param takenOver whether another process had the socket before: what it counted is left out
   */
  constructor (private readonly port: number, takenOver = false) {
    this.before = takenOver ? null : 0
  }

  /** Datagrams dropped since the socket was opened or taken over; null if unknown. */
  async read (): Promise<number | null> {
    try {
      const rows = (await readTables()).filter(row => row.port === this.port)
      this.inode ??= await this.findInode(rows)
      const drops = rows.find(row => row.inode === this.inode)?.drops
      if (drops === undefined) return null
      this.before ??= drops
      return drops - this.before
    } catch {
      return null
    }
  }

  private async findInode (rows: readonly Row[]): Promise<string | null> {
    const own = await ownInodes()
    return rows.find(row => own.has(row.inode))?.inode ?? null
  }
}
