/**
 * The server starts before its database, as when a deployment starts both at once: it waits through every stage that a
 * database and its host name go through, logs each cause once, and then serves.
 */
import t from 'tap'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { request } from 'undici'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startProgram, type Program } from '../support/programs/program.js'

const NAME = 'timescaledb'
const SSL_REQUEST_BYTES = 8

/** A resolver that reads the answer for NAME from a file: an error code, or an address. */
const RESOLVER = `
import dns from 'node:dns'
import { readFileSync } from 'node:fs'
const { lookup } = dns
dns.lookup = (host, options, callback) => {
  if (host !== '${NAME}') return lookup(host, options, callback)
  const found = readFileSync(process.env.TEST_NAME_FILE, 'utf8')
  if (!/^E/.test(found)) return lookup(found, options, callback)
  const error = new Error('getaddrinfo ' + found + ' ' + host)
  process.nextTick(callback, Object.assign(error, { code: found, syscall: 'getaddrinfo', hostname: host }))
}
`

/** An ErrorResponse (PostgreSQL documentation, 53.7). */
function refusal (code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`)
  const head = Buffer.from('E\0\0\0\0')
  head.writeUInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

/** A port that refuses every session with `answer`, or forwards to the database once that is null. */
class Gate {
  answer: Buffer | null = null
  private readonly sockets = new Set<Socket>()
  private readonly server = createServer((client) => this.accept(client))

  constructor (owner: Owner, private readonly target: URL) {
    owner.teardown(() => {
      this.server.close()
      for (const socket of this.sockets) socket.destroy()
    })
  }

  async listen (port: number): Promise<number> {
    this.server.listen(port, '127.0.0.1')
    await once(this.server, 'listening')
    return (this.server.address() as AddressInfo).port
  }

  async close (): Promise<void> {
    this.server.close()
    await once(this.server, 'close')
  }

  private accept (client: Socket): void {
    this.keep(client)
    const { answer } = this
    if (answer !== null) {
      client.once('data', (startup: Buffer) => {
        if (startup.length > SSL_REQUEST_BYTES) client.end(answer)
      })
      return
    }
    const server = connect(Number(this.target.port), this.target.hostname)
    this.keep(server)
    client.pipe(server).pipe(client)
  }

  private keep (socket: Socket): void {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    // On an error the other side sees its connection end.
    socket.on('error', () => {})
  }
}

interface Started { readonly program: Program, readonly rename: (name: string) => Promise<void> }

async function startWithResolver (owner: Owner, url: string, name: string): Promise<Started> {
  const directory = await temporaryDirectory(owner)
  const [resolver, nameFile] = [join(directory, 'resolver.mjs'), join(directory, 'name')]
  await writeFile(resolver, RESOLVER)
  await writeFile(nameFile, name)
  const env = { NODE_OPTIONS: `--import ${pathToFileURL(resolver).href}`, TEST_NAME_FILE: nameFile, LOG_LEVEL: 'info' }
  const program = startProgram(owner, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', '0', '--udp-port', 'off', '--workers', '1',
    '--data-dir', join(directory, 'data'), '--database-url', url
  ], { env })
  return { program, rename: async (changed) => await writeFile(nameFile, changed) }
}

function waitingFor (program: Program, cause: string): Promise<unknown> {
  return program.line(({ msg }) => msg?.startsWith('waiting for the database') === true && msg.includes(cause))
}

t.test('waits out an unknown host, a closed port, a starting database and a wrong password', async t => {
  const postgres = await startTestPostgres(t)
  const gate = new Gate(t, new URL(postgres.url))
  const port = await gate.listen(0)
  await gate.close()
  const url = new URL(postgres.url)
  url.host = `${NAME}:${port}`
  const { program, rename } = await startWithResolver(t, url.href, 'ENOTFOUND')
  await waitingFor(program, `ENOTFOUND ${NAME}`)
  await rename('EAI_AGAIN')
  await waitingFor(program, `EAI_AGAIN ${NAME}`)
  await rename('127.0.0.1')
  await waitingFor(program, 'ECONNREFUSED')
  gate.answer = refusal('57P03', 'the database system is starting up')
  await gate.listen(port)
  await waitingFor(program, 'starting up')
  gate.answer = refusal('28P01', 'password authentication failed for user "orbitstream"')
  await waitingFor(program, 'password authentication failed')
  gate.answer = null
  const ready = await program.line(({ msg }) => msg === 'ready')
  const { statusCode } = await request(`http://127.0.0.1:${String(ready['port'])}/health`)
  t.equal(statusCode, 200)
  const waits = program.lines.filter(({ msg }) => msg?.startsWith('waiting for the database'))
  t.equal(waits.length, 5, 'each cause is logged once')
  t.equal(await program.stop(), 0)
})

t.test('SIGTERM ends the wait', async t => {
  const { program } = await startWithResolver(t, `postgres://orbitstream:secret@${NAME}/orbitstream`, 'ENOTFOUND')
  await waitingFor(program, `ENOTFOUND ${NAME}`)
  t.equal(await program.stop(), 1)
  t.match(program.stderr, 'error: Stopped while waiting for the database.')
  t.notMatch(program.stdout, 'secret')
})
