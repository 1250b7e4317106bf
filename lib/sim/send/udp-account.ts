/** Asks the server what it received of one sender's packets in one epoch. */
import { askApi } from './api-request.js'
import { apiBase, bearer } from './bearer.js'

const ANSWER_TIMEOUT_MS = 3_000

/** The server's record of the sender. */
export interface SenderAccount {
  readonly highest: number
  /** Packets, each counted once, including heartbeats. */
  readonly received: number
  readonly missing: number
}

/** Packets that the server dropped, of all senders together. */
export interface DropAccount {
  readonly kernelDrops: number
  readonly shed: number
  readonly malformed: number
  readonly denied: number
}

export class UdpAccount {
  private readonly base: string
  private readonly headers: Record<string, string>

  /** @param token sent as Authorization: Bearer; null: none */
  constructor (apiUrl: URL, token: string | null, private readonly sender: string, private readonly epoch: number) {
    this.headers = bearer(token)
    this.base = apiBase(apiUrl)
  }

  /** Null: the server does not know this epoch, or does not answer. */
  async ofSender (): Promise<SenderAccount | null> {
    const answer = await this.ask(`/udp/senders?sender=${encodeURIComponent(this.sender)}`)
    // The name may also be in use by another sender, or by an earlier run.
    const lives = listOf(fieldOf(answer, 'senders')).flatMap(sender =>
      [sender, ...listOf(fieldOf(sender, 'other_lives'))])
    const own = lives.find(each => fieldOf(each, 'epoch') === this.epoch)
    return own === undefined
      ? null
      : { highest: numberOf(own, 'highest'), received: numberOf(own, 'received'), missing: numberOf(own, 'missing') }
  }

  /** Null: the server does not answer. */
  async ofDrops (): Promise<DropAccount | null> {
    const udp = fieldOf(await this.ask('/health'), 'udp')
    if (udp === undefined) return null
    return {
      kernelDrops: numberOf(udp, 'kernel_drops'),
      shed: numberOf(udp, 'shed'),
      malformed: sumOf(udp, 'malformed'),
      denied: sumOf(udp, 'denied')
    }
  }

  private async ask (path: string): Promise<unknown> {
    try {
      const { text } = await askApi(this.base + path, ANSWER_TIMEOUT_MS, this.headers)
      return JSON.parse(text)
    } catch {
      // Asked again later; otherwise the summary reports that there was no response.
      return null
    }
  }
}

function fieldOf (value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

function listOf (value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function numberOf (value: unknown, name: string): number {
  const field = fieldOf(value, name)
  return typeof field === 'number' ? field : 0
}

/** Of the counts by reason in a field. */
function sumOf (value: unknown, name: string): number {
  const counts = fieldOf(value, name)
  if (typeof counts !== 'object' || counts === null) return 0
  return Object.values(counts).reduce((sum: number, count) => sum + Number(count), 0)
}
