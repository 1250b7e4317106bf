/** A cluster of NATS servers with JetStream, on free ports of the loopback, in a directory that the test removes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { request } from 'undici'
import { eventually } from '../eventually.js'
import { quietPort } from '../programs/free-port.js'

/** Where .ci/run unpacks the package of Debian. */
const UNPACKED = 'node_modules/.cache/nats-server/usr/sbin'

/** The program, or null: then a test is skipped. */
export async function findNatsServer (): Promise<string | null> {
  for (const directory of [UNPACKED, ...(process.env.PATH ?? '').split(delimiter)]) {
    const path = join(directory, 'nats-server')
    if (await access(path).then(() => true, () => false)) return path
  }
  return null
}

export const NO_NATS_SERVER = 'no nats-server: install it, or run .ci/run, which unpacks it below node_modules/.cache'

const HEALTHY_DEADLINE_MS = 90_000
/** On a busy machine a server (2.10.27) now and then does not start, or never finds the others: it is started again. */
const RESTART_AFTER_MS = 45_000

/**
 * Resolves when a server answers at the address of its monitor. The next one may be started then: servers that start
 * at the same moment open routes to each other twice, close both, and may then not know each other for good (2.10.27:
 * "no suitable peers for placement").
 */
export async function listens (monitorUrl: string): Promise<void> {
  await eventually(`${monitorUrl} answers`, HEALTHY_DEADLINE_MS, async () => {
    const { statusCode, body } = await request(`${monitorUrl}/varz`)
    await body.dump()
    return statusCode === 200 ? true : undefined
  })
}

/**
 * Starts new servers, and resolves when they are a cluster: each has a leader, and the leader sees all others. If they
 * do not get there, they are ended and started anew, with nothing stored.
 */
export async function formed (
  monitorUrls: readonly string[], start: () => Promise<void>, discard: () => Promise<void>
): Promise<void> {
  await start()
  await seeEachOther(monitorUrls, RESTART_AFTER_MS).catch(async () => {
    await discard()
    await start()
    await seeEachOther(monitorUrls, HEALTHY_DEADLINE_MS)
  })
}

async function hasLeader (monitorUrl: string, deadlineMs: number): Promise<void> {
  await eventually(`${monitorUrl} is healthy`, deadlineMs, async () => {
    const { statusCode, body } = await request(`${monitorUrl}/healthz`)
    await body.dump()
    return statusCode === 200 ? true : undefined
  })
}

async function seeEachOther (monitorUrls: readonly string[], deadlineMs: number): Promise<void> {
  for (const url of monitorUrls) await hasLeader(url, deadlineMs)
  if (monitorUrls.length === 1) return
  await eventually('the leader sees all other log servers', deadlineMs, async () => {
    for (const url of monitorUrls) {
      const { body } = await request(`${url}/jsz`)
      const { meta_cluster: { replicas = [] } } = await body.json() as JetStreamState
      if (replicas.filter(({ offline }) => offline !== true).length === monitorUrls.length - 1) return true
    }
    return undefined
  })
}

/** Of GET /jsz; only the leader has replicas. */
interface JetStreamState {
  readonly meta_cluster: { readonly replicas?: ReadonlyArray<{ readonly offline?: boolean }> }
}

interface Node {
  readonly port: number
  readonly monitorPort: number
  readonly configuration: string
  process: ChildProcess | null
}

export class NatsCluster {
  private constructor (
    private readonly program: string, private readonly directory: string, readonly nodes: readonly Node[]
  ) {}

  /**
   * Starts as many servers, and waits until they are healthy. Their ports are none that the system gives away by
   * itself: a server that is killed needs its port again.
   * @param fileStore what each may keep on disk
   */
  static async start (program: string, count = 3, fileStore = '1GB'): Promise<NatsCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'orbitstream-nats-'))
    const ports: Array<readonly [number, number, number]> = []
    for (let index = 0; index < count; index++) ports.push([await quietPort(), await quietPort(), await quietPort()])
    const routes = ports.map(([, route]) => `nats://127.0.0.1:${route}`).join(', ')
    const nodes: Node[] = []
    for (const [index, [port, route, monitorPort]] of ports.entries()) {
      const configuration = join(directory, `n${index}.conf`)
      await writeFile(configuration, `
        server_name: n${index}
        listen: 127.0.0.1:${port}
        jetstream { store_dir: "${join(directory, `n${index}`)}", max_file_store: ${fileStore}, max_memory_store: 16MB }
        http: 127.0.0.1:${monitorPort}
        ${count === 1 ? '' : `cluster { name: test, listen: 127.0.0.1:${route}, routes: [${routes}] }`}
      `)
      nodes.push({ port, monitorPort, configuration, process: null })
    }
    const cluster = new NatsCluster(program, directory, nodes)
    const monitorUrls = nodes.map(({ monitorPort }) => `http://127.0.0.1:${monitorPort}`)
    await formed(monitorUrls, async () => {
      for (const [index, url] of monitorUrls.entries()) {
        await mkdir(join(directory, `n${index}`), { recursive: true })
        cluster.startNode(index)
        await listens(url)
      }
    }, async () => {
      for (const index of nodes.keys()) {
        await cluster.kill(index)
        await rm(join(directory, `n${index}`), { recursive: true })
      }
    })
    return cluster
  }

  /** As for SPOOL_DIR. */
  get url (): string {
    return `nats://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  }

  get servers (): readonly string[] {
    return this.nodes.map(({ port }) => `127.0.0.1:${port}`)
  }

  startNode (index: number): void {
    const node = this.nodes[index]
    if (node === undefined || node.process !== null) return
    const args = ['-c', node.configuration, '-l', `${node.configuration}.log`]
    node.process = spawn(this.program, args, { stdio: 'ignore' })
  }

  /**
   * Resolves when all servers that run have a leader, and what the others have. One that was just started counts as
   * away: whoever kills another one before takes the majority away, and the rest may need a minute to recover.
   */
  async healthy (): Promise<void> {
    for (const [index, { monitorPort, process }] of this.nodes.entries()) {
      if (process === null) continue
      const monitorUrl = `http://127.0.0.1:${monitorPort}`
      await hasLeader(monitorUrl, RESTART_AFTER_MS).catch(async () => {
        await this.kill(index)
        this.startNode(index)
        await hasLeader(monitorUrl, HEALTHY_DEADLINE_MS)
      })
    }
  }

  async kill (index: number): Promise<void> {
    const node = this.nodes[index]
    const child = node?.process ?? null
    if (node === undefined || child === null) return
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    node.process = null
  }

  async stop (): Promise<void> {
    for (const index of this.nodes.keys()) await this.kill(index)
    await rm(this.directory, { recursive: true, force: true })
  }
}
