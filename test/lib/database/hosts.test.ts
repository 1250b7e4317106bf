/** Several hosts in DATABASE_URL: which one connect() uses. */
import dns from 'node:dns'
import { once } from 'node:events'
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net'
import t from 'tap'
import { isConnectionError, isUnanswered, sqlState, connect } from '../../../lib/database/connection.js'
import { answers } from '../../../lib/database/probe.js'
import { readTimeline } from '../../../lib/database/timeline.js'
import { eventually } from '../../support/eventually.js'
import type { Owner } from '../../support/owner.js'
import { startTestPostgres } from '../../support/database/postgres.js'
import { promote, startStandby } from '../../support/database/standby.js'
import { withDatabase } from '../../support/load/verify.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 30_000 }

t.setTimeout(200_000)
const primary = await startTestPostgres(t)
const standby = await startStandby(t, primary, { synchronous: false })
const [first, second] = [new URL(primary.url).host, new URL(standby.url).host]

const urlOf = (hosts: readonly string[], parameters = ''): string =>
  primary.url.replace(first, hosts.join(',')) + parameters

/** The port that connect() chooses, or what the error says. */
async function chosen (hosts: readonly string[], parameters = ''): Promise<string> {
  try {
    const db = await connect(urlOf(hosts, parameters), OPTIONS)
    try {
      const { rows: [row] } = await db.query<{ port: string }>("SELECT current_setting('port') AS port")
      return `127.0.0.1:${String(row?.port)}`
    } finally {
      await db.close()
    }
  } catch (error) {
    return `${isConnectionError(error) ? 'away' : String(sqlState(error))}: ${(error as Error).message}`
  }
}

/** An address where nobody listens. */
async function nobody (): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `127.0.0.1:${port}`
}

/** A server that takes connections and says nothing. */
async function silent (owner: Owner): Promise<string> {
  const server = createServer((socket) => { owner.teardown(() => socket.destroy()) }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  owner.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Way {
  readonly host: string
  /** Nothing passes any more, and nobody listens; open connections stay open. */
  cut (): void
}

/** A TCP proxy. */
async function startWay (owner: Owner, to: string): Promise<Way> {
  const sockets: Socket[] = []
  const server = createServer((near) => {
    const far = connectSocket(Number(to.split(':')[1]), '127.0.0.1')
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far).pipe(near)
    sockets.push(near, far)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  owner.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      server.close()
      for (const socket of sockets) socket.unpipe().pause()
    }
  }
}

t.test('the first host that accepts writes is used', async (t) => {
  const away = await nobody()
  for (const hosts of [[first, second], [second, first], [away, second, first]]) {
    for (const attributes of ['any', 'read-write', 'primary']) {
      t.equal(await chosen(hosts, `?target_session_attrs=${attributes}`), first, `${hosts.join()} ${attributes}`)
    }
  }
  t.equal(await chosen([await silent(t), first], '?connect_timeout=1'), first, 'each host has its time')
  t.match(await chosen([away, second], '?target_session_attrs=primary'),
    /^away: .* none of its hosts accepts writes \(127.0.0.1:\d+: connect ECONNREFUSED .*; 127.0.0.1:\d+: a standby\)$/)
})

t.test('a single host', async (t) => {
  t.equal(await chosen([second]), second, 'need not accept writes: callers wait until it does')
  t.match(await chosen([second], '?target_session_attrs=read-write'), /^away: .*: read-only: a standby/)
})

t.test('a refusal that waiting does not change ends the search, as in libpq', async (t) => {
  const error = await connect(urlOf([second, first]).replace(/:[^:@]+@/, ':wrong@'), OPTIONS).catch(String)
  t.match(error, /password authentication failed/)
})

t.test('a host that is gone in the middle of a statement is given up; a slow one is not', async (t) => {
  const db = await connect(urlOf([first, second]), { ...OPTIONS, silenceMs: 100 })
  t.teardown(() => db.destroy())
  await db.query('SELECT pg_sleep(1)')
  t.ok(db.alive)
  const gone = await silent(t)
  for (const [host, isThere] of [[first, true], [gone, false], [await nobody(), false]] as const) {
    t.equal(await answers({ host: '127.0.0.1', port: Number(host.split(':')[1]) }, 2_000), isThere)
  }
  const way = await startWay(t, first)
  const through = await connect(urlOf([way.host, second]), { ...OPTIONS, silenceMs: 100 })
  t.teardown(() => through.destroy())
  way.cut()
  const error: unknown = await through.query('SELECT 1').then(() => null, (reason: unknown) => reason)
  t.ok(isConnectionError(error))
  t.notOk(isUnanswered(error), 'no statement took too long')
  t.notOk(through.alive)
})

t.test('the connection\'s own address is asked for a sign of life, wherever its name leads by then', async (t) => {
  const way = await startWay(t, first)
  const port = Number(way.host.split(':')[1])
  let address = '127.0.0.1'
  const { lookup } = dns
  t.teardown(() => { dns.lookup = lookup })
  const found: unknown = (name: string, options: dns.LookupOptions, done: (...results: unknown[]) => void) => {
    if (name !== 'name.test') lookup(name, options, done as never)
    else if (options.all === true) done(null, [{ address, family: 4 }])
    else done(null, address, 4)
  }
  dns.lookup = found as typeof dns.lookup
  const db = await connect(urlOf([`name.test:${port}`, second]), { ...OPTIONS, silenceMs: 100 })
  t.teardown(() => db.destroy())
  way.cut()
  // Another server, at the same port of another address.
  const other = createServer((socket) => socket.end('N')).listen(port, '127.0.0.2')
  t.teardown(() => other.close())
  await once(other, 'listening')
  address = '127.0.0.2'
  const error: unknown = await db.query('SELECT 1').then(() => null, (reason: unknown) => reason)
  t.ok(isConnectionError(error))
})

t.test('whoever connects often begins with the host that served last', async (t) => {
  const lastHost = { position: 0 }
  const away = await nobody()
  const db = await connect(urlOf([away, second, first]), { ...OPTIONS, lastHost })
  t.equal(lastHost.position, 2)
  await db.close()
  let tried = 0
  const counting = createServer((socket) => {
    tried++
    socket.destroy()
  }).listen(Number(away.split(':')[1]), '127.0.0.1')
  t.teardown(() => counting.close())
  await once(counting, 'listening')
  const again = await connect(urlOf([away, second, first]), { ...OPTIONS, lastHost })
  await again.close()
  t.equal(tried, 0)
  const others = await connect(urlOf([first, second, away]), { ...OPTIONS, lastHost })
  await others.close()
  t.same([tried, lastHost.position], [1, 0], 'the others follow')
})

t.test('read-only by setting, and promoted', async (t) => {
  await withDatabase(primary, async (db) => {
    await db.query("ALTER DATABASE orbitstream SET default_transaction_read_only = 'on'")
  })
  t.match(await chosen([first, second]), /^away: /)
  t.equal(await chosen([second, first], '?target_session_attrs=primary'), first, 'primary asks nothing else')
  await withDatabase(primary, async (db) => {
    await db.query("SET default_transaction_read_only = 'off'")
    await db.query('ALTER DATABASE orbitstream RESET default_transaction_read_only')
  })
  t.equal(await withDatabase(primary, readTimeline), 1)
  await eventually('the standby has it, too', 30_000, async () => await withDatabase(standby, async (db) => {
    const { rows } = await db.query('SELECT FROM pg_db_role_setting')
    return rows.length === 0 ? true : undefined
  }))
  await primary.kill()
  await promote(standby)
  t.equal(await chosen([first, second]), second)
  await withDatabase(standby, async (db) => {
    await db.query('CREATE ROLE plain')
    await db.query('SET ROLE plain')
    t.equal(await readTimeline(db), 2, 'a promotion begins a timeline; every role may know')
    await db.query('RESET ROLE')
    await db.query('REVOKE EXECUTE ON FUNCTION pg_walfile_name FROM PUBLIC')
    await db.query('SET ROLE plain')
    t.equal(await readTimeline(db), null, 'unless somebody took the right away')
  })
})
