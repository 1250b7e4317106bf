/**
 * The log on NATS JetStream: the only importer of @nats-io/transport-node, an optional dependency, loaded on demand.
 *
 * One stream for each epoch of a lane, with LOG_REPLICAS copies on disk. JetStream's API is requests with JSON answers;
 * the few that are needed are written out here instead of taking another package for them (docs/decisions/0015).
 * A stream has no max_bytes: JetStream would reserve it in advance, twice for each worker that is restarted. Each
 * writer bounds its own stream (SPOOL_MAX_BYTES), and the servers' limits hold besides.
 *
 * Sources: nats.io, "JetStream wire API Reference"; nats-server/server/errors.json for the codes.
 */
import type { connect, headers, Msg, NatsConnection } from '@nats-io/transport-node'
import { StartupError } from '../support/startup-error.js'
import {
  LogError, type FoundStream, type LogFault, type Reach, type ReplicatedLog, type StoredMessage, type StreamName
} from './replicated-log.js'

export interface LogOptions {
  /** host:port of each server. */
  readonly servers: readonly string[]
  readonly user: string | null
  readonly password: string | null
  readonly replicas: number
  /** Id of the database: streams of other ones are not ours. */
  readonly deployment: string
  /** Name of the connection, for those who look at the servers. */
  readonly name: string
}

/** What is known of the servers. */
export interface LogServers {
  readonly version: string
}

/**
 * Before 2.10.23 `sync_interval: always` synced the stream but not the Raft log that recovery replays (nats-server
 * #6041), and killed servers lost whole streams (#6888).
 */
export const VERSION_MIN = '2.10.23'
/** With the fixes that followed Jepsen's tests of 2.12.1 (nats-server #7561, #7580, #7581). */
export const VERSION_RECOMMENDED = '2.12.3'

const CONNECT_TIMEOUT_MS = 5_000
/** The election of a leader takes a second or two. */
const REQUEST_TIMEOUT_MS = 2_000
const RECONNECT_MS = 250
const PING_INTERVAL_MS = 2_000
const PINGS_UNANSWERED_MAX = 2
/** Headers of a message, its subject and its reply subject count, too. */
const MESSAGE_OVERHEAD_BYTES = 1_024
/** The default of the server. More costs memory on both sides, and gains nothing. */
const MESSAGE_BYTES_MAX = 1024 * 1024
/** With less a frame would take too many messages: lib/primary/bounds.ts. */
const PAYLOAD_BYTES_MIN = 64 * 1024
/** Smallest and largest that a message of the log may be, whatever the server's max_payload. */
export const LOG_MESSAGE_BYTES = {
  min: PAYLOAD_BYTES_MIN - MESSAGE_OVERHEAD_BYTES, max: MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES
} as const
/**
 * What a server keeps of a stream's messages until they are replicated; it refuses more.
 * Source: nats-server/server/stream.go, streamDefaultMaxQueueMsgs and streamDefaultMaxQueueBytes.
 */
export const SERVER_QUEUE_MAX = { messages: 10_000, bytes: 128 * 1024 * 1024 } as const
const LIST_PAGES_MAX = 1_000

const CODES: Readonly<Record<number, LogFault>> = {
  10059: 'missing',
  10071: 'conflict',
  10060: 'conflict',
  10077: 'full',
  10047: 'full',
  10023: 'full'
}
const NO_MESSAGE = 10037

interface ApiError {
  readonly code: number
  readonly err_code?: number
  readonly description?: string
}

interface ListAnswer {
  readonly total: number
  /** Streams whose leaders did not answer in time: they exist, but the list lacks them. */
  readonly missing?: readonly string[] | null
  readonly streams: ReadonlyArray<{
    readonly config: { readonly name: string, readonly metadata?: Readonly<Record<string, string>> }
  }> | null
}

interface Library {
  readonly connect: typeof connect
  readonly headers: typeof headers
}

async function loadLibrary (): Promise<Library> {
  try {
    return await import('@nats-io/transport-node')
  } catch (cause) {
    throw new StartupError(
      'SPOOL_DIR=nats://… needs the package @nats-io/transport-node, which is not installed: npm install without ' +
      '--omit=optional.', { cause })
  }
}

/** Connects, once, or rejects with the reason. The connection then finds other servers by itself. */
export async function connectLog (options: LogOptions): Promise<ReplicatedLog & { readonly servers: LogServers }> {
  const library = await loadLibrary()
  const { servers, user, password, name } = options
  const connection = await library.connect({
    servers: [...servers],
    name,
    ...user === null ? {} : { user },
    ...password === null ? {} : { pass: password },
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    // Otherwise the second refusal of its life closes the connection for good: a password that is being changed, or a
    // server too busy to take a login in time.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RECONNECT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PINGS_UNANSWERED_MAX
  })
  try {
    const info = connection.info
    checkVersion(info?.version ?? 'unknown')
    if (info?.jetstream !== true) {
      throw new StartupError('The NATS servers of SPOOL_DIR have no JetStream: set jetstream in their configuration.')
    }
    checkPayload(info.max_payload)
    return new JetStreamLog(library, connection, options, info.max_payload)
  } catch (error) {
    await connection.close()
    throw error
  }
}

/** @throws {StartupError} a version that cannot keep the promise */
export function checkVersion (version: string): void {
  if (compareVersions(version, VERSION_MIN) >= 0) return
  throw new StartupError(
    `The NATS server is ${version}; OrbitStream needs ${VERSION_MIN} or newer, and ${VERSION_RECOMMENDED} or ` +
    'newer is recommended: earlier ones lose acknowledged messages when they are killed, whatever their sync_interval.')
}

/** @throws {StartupError} a max_payload that frames do not fit into */
export function checkPayload (payloadBytesMax: number): void {
  if (payloadBytesMax >= PAYLOAD_BYTES_MIN) return
  throw new StartupError(`The NATS server has max_payload ${payloadBytesMax}; OrbitStream needs at least ` +
    `${PAYLOAD_BYTES_MIN} bytes. The default of the server is 1MB.`)
}

/** Negative: `left` is older. Anything that is not a version counts as older than all. */
export function compareVersions (left: string, right: string): number {
  const [lefts, rights] = [left, right].map((text) => /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [0])
  for (let index = 0; index < 3; index++) {
    const difference = (lefts?.[index] ?? 0) - (rights?.[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

class JetStreamLog implements ReplicatedLog {
  readonly messageBytesMax: number
  readonly servers: LogServers
  private readonly prefix: string

  constructor (
    private readonly library: Library,
    private readonly connection: NatsConnection,
    private readonly options: LogOptions,
    payloadBytesMax: number
  ) {
    this.messageBytesMax = Math.min(payloadBytesMax - MESSAGE_OVERHEAD_BYTES, LOG_MESSAGE_BYTES.max)
    this.servers = { version: connection.info?.version ?? '' }
    this.prefix = `ORBIT_${options.deployment}_`
  }

  async create (stream: FoundStream): Promise<void> {
    const { instance, slot, after } = stream
    const name = this.nameOf(stream)
    try {
      await this.api(`STREAM.CREATE.${name}`, {
        name,
        subjects: [subjectOf(name)],
        retention: 'limits',
        storage: 'file',
        discard: 'new',
        num_replicas: this.options.replicas,
        max_age: 0,
        max_msgs: -1,
        max_bytes: -1,
        allow_direct: false,
        metadata: {
          instance,
          slot: String(slot),
          ...after === null ? {} : { after: `${after.sequence} ${after.rows}` }
        }
      })
    } catch (error) {
      if (!(error instanceof LogError) || error.fault === 'away') throw error
      throw new LogError('full', `${error.message} (stream ${name}, ${this.options.replicas} replicas)`)
    }
  }

  async append (stream: StreamName, position: number, message: Uint8Array): Promise<void> {
    const name = this.nameOf(stream)
    const headers = this.library.headers()
    headers.set('Nats-Expected-Stream', name)
    headers.set('Nats-Expected-Last-Sequence', String(position - 1))
    const answer = parse(await this.request(subjectOf(name), message, headers)) as { seq?: number } | null
    const seq = countOf(answer?.seq)
    if (seq !== position) throw new LogError('away', `message ${position} of ${name} became ${seq}`)
  }

  async last (stream: StreamName): Promise<number> {
    const info = await this.api<{ state?: { last_seq?: number } } | null>(`STREAM.INFO.${this.nameOf(stream)}`, {})
    return countOf(info?.state?.last_seq)
  }

  async next (stream: StreamName, from: number): Promise<StoredMessage | null> {
    const name = this.nameOf(stream)
    const query = { seq: from, next_by_subj: subjectOf(name) }
    const found = await this.api<{ message?: { seq?: number, data?: unknown } } | null>(
      `STREAM.MSG.GET.${name}`, query)
    if (found === null) return null
    const { seq, data = '' } = found.message ?? {}
    const position = countOf(seq)
    if (position < from || typeof data !== 'string') throw notJetStream()
    return { position, bytes: Buffer.from(data, 'base64') }
  }

  async trim (stream: StreamName, through: number): Promise<void> {
    // `seq` is the first message that stays.
    await this.api(`STREAM.PURGE.${this.nameOf(stream)}`, { seq: through + 1 })
  }

  async list (lane?: string): Promise<readonly FoundStream[]> {
    const found: FoundStream[] = []
    const subject = `${subjectOf(this.prefix)}${lane === undefined ? '' : `${lane}.`}>`
    let seen = 0
    for (let page = 0; page < LIST_PAGES_MAX; page++) {
      const query = { offset: seen, subject }
      const { total, streams, missing } = listOf(await this.api<Partial<ListAnswer> | null>('STREAM.LIST', query))
      const unseen = missing?.length ?? 0
      if (unseen > 0) throw new LogError('away', `the log does not answer: the list lacks ${unseen} streams`)
      for (const { config: { name, metadata } } of streams ?? []) {
        const match = /^([0-9a-f]{32})_(\d{1,9})$/.exec(name.slice(this.prefix.length))
        if (!name.startsWith(this.prefix) || match === null) continue
        const [lane = '', epoch] = match.slice(1)
        const { instance = '', slot, after } = metadata ?? {}
        found.push({ lane, epoch: Number(epoch), instance, slot: Number(slot ?? 0), after: reachOf(after) })
      }
      seen += streams?.length ?? 0
      if (seen >= total || (streams?.length ?? 0) === 0) break
    }
    return found
  }

  async remove (stream: StreamName): Promise<void> {
    try {
      await this.api(`STREAM.DELETE.${this.nameOf(stream)}`, null)
    } catch (error) {
      if (!(error instanceof LogError) || error.fault !== 'missing') throw error
    }
  }

  async close (): Promise<void> {
    await this.connection.close()
  }

  private nameOf ({ lane, epoch }: StreamName): string {
    return `${this.prefix}${lane}_${epoch}`
  }

  /** Null, where T has it: there is no such message. */
  private async api<T> (what: string, body: object | null): Promise<T> {
    return parse(await this.request(`$JS.API.${what}`, body === null ? '' : JSON.stringify(body))) as T
  }

  private async request (
    subject: string, data: Uint8Array | string, headers?: ReturnType<Library['headers']>
  ): Promise<Msg> {
    try {
      const options = { timeout: REQUEST_TIMEOUT_MS, ...headers === undefined ? {} : { headers } }
      return await this.connection.request(subject, data, options)
    } catch (cause) {
      // Timed out, no leader, no JetStream, or the connection was lost: it may have been done.
      throw new LogError('away', `the log does not answer: ${(cause as Error).message}`, { cause })
    }
  }
}

/** The stream's only subject: its name in tokens, so that a pattern finds all streams of a deployment. */
function subjectOf (name: string): string {
  return name.replaceAll('_', '.')
}

/** Null: the stream does not say it. */
function reachOf (text = ''): Reach | null {
  const match = /^(\d{1,15}) (\d{1,15})$/.exec(text)
  return match === null ? null : { sequence: Number(match[1]), rows: Number(match[2]) }
}

/** Whoever may subscribe to a subject may answer it. */
function notJetStream (): LogError {
  return new LogError('away', 'the log does not answer: what came is not an answer of JetStream')
}

/** @throws {LogError} no number of a message */
function countOf (value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw notJetStream()
  return value
}

/** @throws {LogError} no page of a list */
function listOf (answer: Partial<ListAnswer> | null): ListAnswer {
  const { total, streams = null, missing = null } = answer ?? {}
  const isList = streams === null || (Array.isArray(streams) && streams.every(isListed))
  if (!isList || (missing !== null && !Array.isArray(missing))) throw notJetStream()
  return { total: countOf(total), streams, missing }
}

function isListed (stream: unknown): boolean {
  const { config } = (stream ?? {}) as { config?: { name?: unknown } | null }
  return typeof config?.name === 'string'
}

/** Null: there is no such message. @throws {LogError} any other error */
function parse (message: Msg): unknown {
  let answer: { error?: ApiError | null } | null
  try {
    answer = JSON.parse(message.string()) as typeof answer
  } catch {
    throw notJetStream()
  }
  if (typeof answer !== 'object' || answer === null || answer.error === null) throw notJetStream()
  const { error } = answer
  if (error === undefined) return answer
  if (error.err_code === NO_MESSAGE) return null
  const fault = CODES[error.err_code ?? 0] ?? 'away'
  throw new LogError(fault, `${error.description ?? 'error'} (${error.err_code ?? error.code})`)
}
