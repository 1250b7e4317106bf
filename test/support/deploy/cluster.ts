/**
 * What the profile `cluster` of docker-compose.yml starts, as processes: the configuration files that it mounts and the
 * command lines and variables that it gives, with other addresses. Everything ends with its owner.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { mountsOf, parseCompose, type Service } from './compose.js'
import { eventually } from '../eventually.js'
import { quietPort } from '../programs/free-port.js'
import { readHealth } from '../programs/health.js'
import { findNatsServer, formed, listens, NO_NATS_SERVER } from './nats-cluster.js'
import type { Owner } from '../owner.js'
import { temporaryDirectory } from '../database/postgres.js'
import { onProcessEnd } from '../programs/process-end.js'
import { startIngest, type Ingest } from '../programs/program.js'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))
const HEALTHY_DEADLINE_MS = 90_000
/** Debian's nginx loads it; the image's has it built in. */
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

const LOG_SERVERS = ['nats-a', 'nats-b', 'nats-c'] as const
const HOSTS = ['ingest-a', 'ingest-b'] as const

export interface ClusterPrograms {
  readonly natsServer: string
  readonly haproxy: string
  /** Null: no balancer for UDP. */
  readonly nginx: string | null
}

/** What the cluster needs, or which of it is missing. */
export async function findClusterPrograms (): Promise<ClusterPrograms | string> {
  const natsServer = await findNatsServer()
  if (natsServer === null) return NO_NATS_SERVER
  const find = (name: string): string | undefined =>
    [name, `/usr/sbin/${name}`].find((each) => spawnSync(each, ['-v']).status === 0)
  const haproxy = find('haproxy')
  if (haproxy === undefined) return 'haproxy is not installed'
  return { natsServer, haproxy, nginx: existsSync(STREAM_MODULE) ? find('nginx') ?? null : null }
}

export class Cluster {
  private readonly services: Readonly<Record<string, Service>>
  private readonly hosts = new Map<string, Ingest>()
  private readonly children = new Set<ChildProcess>()
  private readonly logServers = new Map<string, ChildProcess>()
  /** Teardowns do not run when a test times out. */
  private readonly cancelKill = onProcessEnd(() => { this.kill() })

  private constructor (
    private readonly owner: Owner,
    private readonly programs: ClusterPrograms,
    private readonly directory: string,
    private readonly databaseUrl: string,
    /** Port of each address in the files. */
    private readonly ports: ReadonlyMap<string, number>,
    text: string
  ) {
    this.services = parseCompose(text).services
    owner.teardown(async () => { await this.stop() })
  }

  /** Resolves when the balancer has a host that accepts points. */
  static async start (owner: Owner, programs: ClusterPrograms, databaseUrl: string): Promise<Cluster> {
    const names = [
      ...LOG_SERVERS.flatMap((name) => [`${name}:4222`, `${name}:6222`, `${name}:8222`]),
      ...HOSTS.flatMap((name) => [`${name}:8080`, `${name}:8081`]), 'balancer:8080', 'udp-balancer:8081'
    ]
    const ports = new Map<string, number>()
    for (const name of names) ports.set(name, await quietPort())
    const text = await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')
    const cluster = new Cluster(owner, programs, await temporaryDirectory(owner), databaseUrl, ports, text)
    const monitorUrls = LOG_SERVERS.map((name) => `http://${cluster.addressOf(`${name}:8222`)}`)
    await formed(monitorUrls, async () => {
      for (const [index, name] of LOG_SERVERS.entries()) {
        await cluster.startLogServer(name)
        await listens(monitorUrls[index] ?? '')
      }
    }, async () => {
      for (const name of LOG_SERVERS) await cluster.discardLogServer(name)
    })
    await Promise.all(HOSTS.map(async (_, index) => { await cluster.startHost(index) }))
    await cluster.startBalancers()
    return cluster
  }

  /** Of the balancer. */
  get url (): string {
    return `http://${this.addressOf('balancer:8080')}`
  }

  /** Of the balancer for UDP; null: there is none. */
  get udpPort (): number | null {
    return this.programs.nginx === null ? null : this.portOf('udp-balancer:8081')
  }

  /** Of the hosts, for commands. */
  get settings (): { readonly SPOOL_DIR: string, readonly DATABASE_URL: string } {
    const { SPOOL_DIR: log } = this.service(HOSTS[0]).environment ?? {}
    if (typeof log !== 'string') throw new Error(`${HOSTS[0]} has no SPOOL_DIR`)
    const servers = LOG_SERVERS.map((server) => [server, this.addressOf(`${server}:4222`)] as const)
    return { SPOOL_DIR: this.replace(log, servers), DATABASE_URL: this.databaseUrl }
  }

  host (index: number): Ingest {
    const found = this.hosts.get(HOSTS[index] ?? '')
    if (found === undefined) throw new Error(`no host ${index}`)
    return found
  }

  /** Starts a host, also after it was killed: with the DATA_DIR and the address that it had. */
  async startHost (index: number): Promise<void> {
    const name = HOSTS[index] ?? ''
    this.hosts.set(name, await startIngest(this.owner, {
      dataDir: join(this.directory, name),
      databaseUrl: this.databaseUrl,
      port: String(this.portOf(`${name}:8080`)),
      udpPort: String(this.portOf(`${name}:8081`)),
      args: ['--workers', '1'],
      env: { SPOOL_DIR: this.settings.SPOOL_DIR }
    }))
  }

  /** All its processes at once, as if it lost power. */
  async killHost (index: number): Promise<void> {
    const { program, url } = this.host(index)
    const pids = [program.pid, ...(await readHealth(url)).workers.map(({ pid }) => pid)]
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await program.exit
  }

  private async startLogServer (name: typeof LOG_SERVERS[number]): Promise<void> {
    const data = join(this.directory, name)
    await mkdir(data, { recursive: true })
    const file = await this.mounted(name, [
      ['listen: 0.0.0.0:4222', `listen: ${this.addressOf(`${name}:4222`)}`],
      ['listen: 0.0.0.0:6222', `listen: ${this.addressOf(`${name}:6222`)}`],
      ['http: 127.0.0.1:8222', `http: ${this.addressOf(`${name}:8222`)}`],
      ['store_dir: /data', `store_dir: "${data}"`],
      ...LOG_SERVERS.map((other) => [`${other}:6222`, this.addressOf(`${other}:6222`)] as const)
    ])
    const [program, ...words] = [this.service(name).command ?? []].flat()
    if (program !== 'nats-server') throw new Error(`${name} runs ${String(program)}`)
    const { target } = this.mountOf(name)
    const args = [...words.map((word) => word === target ? file : word), '-l', `${file}.log`]
    this.logServers.set(name, this.spawn(this.programs.natsServer, args))
  }

  private async startBalancers (): Promise<void> {
    const hosts = (port: number): Array<readonly [string, string]> =>
      HOSTS.map((name) => [`${name}:${port}`, this.addressOf(`${name}:${port}`)])
    const bind = ['bind :8080', `bind ${this.addressOf('balancer:8080')}`] as const
    const http = await this.mounted('balancer', [bind, ...hosts(8080)])
    this.spawn(this.programs.haproxy, ['-db', '-f', http])
    const { nginx } = this.programs
    if (nginx !== null) {
      const udp = await this.mounted('udp-balancer', [
        ['worker_processes', `load_module ${STREAM_MODULE};\nworker_processes`],
        ['/tmp/nginx.pid', join(this.directory, 'nginx.pid')],
        ['listen 8081', `listen ${this.addressOf('udp-balancer:8081')}`],
        ...hosts(8081)
      ])
      this.spawn(nginx, ['-p', this.directory, '-e', 'stderr', '-c', udp, '-g', 'daemon off;'])
    }
    await this.healthy('balancer:8080', '/balancer')
    await this.healthy('balancer:8080', '/ready')
  }

  private spawn (program: string, words: readonly string[]): ChildProcess {
    const child = spawn(program, words, { stdio: 'ignore' })
    this.children.add(child)
    return child
  }

  private kill (): void {
    for (const child of this.children) child.kill('SIGTERM')
  }

  private async stop (): Promise<void> {
    this.cancelKill()
    const running = [...this.children].filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
    const gone = running.map(async (child) => { await once(child, 'exit') })
    this.kill()
    await Promise.all(gone)
  }

  private async discardLogServer (name: string): Promise<void> {
    const child = this.logServers.get(name)
    if (child?.exitCode === null && child.signalCode === null) {
      this.children.delete(child)
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    await rm(join(this.directory, name), { recursive: true })
  }

  private async healthy (name: string, path: string): Promise<void> {
    await eventually(`${name}${path} answers`, HEALTHY_DEADLINE_MS, async () => {
      const ended = [...this.children].find(({ exitCode }) => exitCode !== null)
      if (ended !== undefined) throw new Error(`${ended.spawnargs.join(' ')} ended with ${String(ended.exitCode)}`)
      const { statusCode, body } = await request(`http://${this.addressOf(name)}${path}`)
      await body.dump()
      return statusCode === 200 ? true : undefined
    })
  }

  /** A copy of the file that a service mounts, with replacements. */
  private async mounted (name: string, changes: ReadonlyArray<readonly [string, string]>): Promise<string> {
    const file = join(this.directory, `${name}.conf`)
    await writeFile(file, this.replace(await readFile(join(ROOT, this.mountOf(name).source), 'utf8'), changes))
    return file
  }

  /** What is not there cannot be replaced: the file has changed without this one. */
  private replace (text: string, changes: ReadonlyArray<readonly [string, string]>): string {
    return changes.reduce((changed, [from, to]) => {
      if (!changed.includes(from)) throw new Error(`there is no ${from} in\n${text}`)
      return changed.replaceAll(from, () => to)
    }, text)
  }

  private service (name: string): Service {
    const found = this.services[name]
    if (found === undefined) throw new Error(`no service ${name}`)
    return found
  }

  private mountOf (name: string): { readonly source: string, readonly target: string } {
    const found = mountsOf(this.service(name)).find(({ source }) => source.startsWith('./'))
    if (found === undefined) throw new Error(`${name} mounts no file`)
    return found
  }

  private portOf (name: string): number {
    return this.ports.get(name) ?? 0
  }

  private addressOf (name: string): string {
    return `127.0.0.1:${this.portOf(name)}`
  }
}
