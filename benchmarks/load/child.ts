/**
 * Load generators are separate processes. They receive a job, prepare it, report ready, start on command, and return
 * one result.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

type ToParent<Result> =
  | { readonly type: 'hello' }
  | { readonly type: 'ready', readonly info: unknown }
  | { readonly type: 'done', readonly result: Result, readonly cpuSeconds: number }
  | { readonly type: 'failed', readonly message: string }

/** A prepared load. */
export interface Load<Result> {
  /** What it reported when ready. */
  readonly info: unknown
  /** CPU time of the run, once it has ended. */
  cpuSeconds: number
  /** Starts it; resolves with its result. */
  run (): Promise<Result>
  /** Asks an open-ended load for its result. */
  finish (): void
}

/** Starts a generator and waits until it is prepared. */
export async function prepareLoad<Result> (file: string, job: unknown): Promise<Load<Result>> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  const channel = new Channel<Result>(child)
  await channel.next('hello')
  child.send({ type: 'job', job })
  const ready = await channel.next('ready')
  const load: Load<Result> = {
    info: ready.info,
    cpuSeconds: 0,
    async run () {
      child.send({ type: 'go' })
      const done = await channel.next('done')
      load.cpuSeconds = done.cpuSeconds
      return done.result
    },
    finish: () => { child.send({ type: 'finish' }) }
  }
  return load
}

class Channel<Result> {
  private readonly messages: Array<ToParent<Result>> = []
  private wake: () => void = () => {}
  private ended = false

  constructor (child: ChildProcess) {
    child.on('message', (message) => {
      this.messages.push(message as ToParent<Result>)
      this.wake()
    })
    child.once('exit', () => {
      this.ended = true
      this.wake()
    })
  }

  async next<Type extends ToParent<Result>['type']> (type: Type): Promise<Extract<ToParent<Result>, { type: Type }>> {
    for (;;) {
      const message = this.messages.shift()
      if (message?.type === type) return message as Extract<ToParent<Result>, { type: Type }>
      if (message?.type === 'failed') throw new Error(message.message)
      if (message === undefined && this.ended) throw new Error('a load generator exited before it was done')
      if (message === undefined) await new Promise<void>((resolve) => { this.wake = resolve })
    }
  }
}

/** A generator's implementation: `run` is called on the start command. */
export interface Generator<Result> {
  readonly info?: unknown
  run (): Promise<Result>
  /** For open-ended loads. */
  finish? (): void
}

/** The child's side: waits for the job, prepares, runs, exits. Both sides must agree on the job's type. */
export function serveLoad<Result> (prepare: (job: never) => Promise<Generator<Result>>): void {
  let generator: Generator<Result> | null = null
  const tell = (message: ToParent<Result>, then: () => void = () => {}): void => {
    process.send?.(message, undefined, undefined, then)
  }
  const fail = (error: unknown): void => tell({
    type: 'failed',
    message: error instanceof Error ? error.stack ?? error.message : String(error)
  }, () => process.exit(1))
  process.on('message', (message: { type: 'job', job: never } | { type: 'go' } | { type: 'finish' }) => {
    if (message.type === 'job') {
      prepare(message.job).then((made) => {
        generator = made
        tell({ type: 'ready', info: made.info ?? null })
      }, fail)
    } else if (message.type === 'go') {
      const before = process.cpuUsage()
      generator?.run().then((result) => {
        const { user, system } = process.cpuUsage(before)
        tell({ type: 'done', result, cpuSeconds: (user + system) / 1e6 }, () => process.exit(0))
      }, fail)
    } else {
      generator?.finish?.()
    }
  })
  process.on('disconnect', () => process.exit(1))
  tell({ type: 'hello' })
}
