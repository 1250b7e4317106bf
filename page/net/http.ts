/** Requests to the server that the page came from. Failures are values. */
import type { Token } from './tab-token.js'

export interface Failure {
  readonly ok: false
  /** 0: no answer. */
  readonly status: number
  readonly code: string
  /** For people; from outside, so only ever shown as text. */
  readonly message: string
}

export interface Success<T> {
  readonly ok: true
  readonly value: T
  readonly etag: string
}

export type Answer<T> = Success<T> | Failure

interface ErrorBody {
  readonly error?: {
    readonly code?: string
    readonly message?: string
    readonly details?: ReadonlyArray<{ readonly field?: string, readonly message?: string }>
  }
}

const TIMEOUT_MS = 15_000
/** Faults shown with a refusal. */
const DETAILS_SHOWN = 5

export class Http {
  constructor (readonly token: Token) {}

  /** GET; asks for a token where one is needed. */
  async get<T> (path: string, signal?: AbortSignal): Promise<Answer<T>> {
    return await this.request<T>(path, { method: 'GET' }, signal)
  }

  async change<T> (
    method: 'PUT' | 'PATCH', path: string, body: unknown, headers: Readonly<Record<string, string>>
  ): Promise<Answer<T>> {
    return await this.request<T>(path, {
      method, body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers }
    })
  }

  /**
   * A response whose body is read as it comes. Rejects where there is none.
   * @param accept for Accept
   */
  async open (path: string, accept: string, signal: AbortSignal, headers: Readonly<Record<string, string>> = {}):
  Promise<Response> {
    for (;;) {
      const used = this.token.headers
      const response = await fetch(path, {
        headers: { accept, ...used, ...headers }, signal, cache: 'no-store', credentials: 'omit'
      })
      if (!wantsToken(response.status, 'GET')) return response
      await this.token.ask((await readFailure(response)).message, used)
    }
  }

  private async request<T> (path: string, init: RequestInit, outer?: AbortSignal): Promise<Answer<T>> {
    for (;;) {
      const used = this.token.headers
      const signals = [AbortSignal.timeout(TIMEOUT_MS), ...outer === undefined ? [] : [outer]]
      try {
        const response = await fetch(path, {
          ...init,
          headers: { accept: 'application/json', ...init.headers as Record<string, string> | undefined, ...used },
          signal: AbortSignal.any(signals),
          cache: 'no-store',
          credentials: 'omit'
        })
        if (response.ok) {
          return { ok: true, value: await response.json() as T, etag: response.headers.get('etag') ?? '' }
        }
        const failure = await readFailure(response)
        if (!wantsToken(failure.status, init.method)) return failure
        await this.token.ask(failure.message, used)
      } catch (error) {
        return { ok: false, status: 0, code: 'no_answer', message: noAnswerText(error) }
      }
    }
  }
}

function noAnswerText (error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return `The server did not answer within ${TIMEOUT_MS / 1000} s.`
  }
  if (error instanceof SyntaxError) return 'The answer is not JSON; a proxy may have answered instead of the server.'
  return 'The server does not answer.'
}

/** Whether another token would help. One that may read but not change anything is good enough to go on with. */
function wantsToken (status: number, method: string | undefined): boolean {
  return status === 401 || (status === 403 && method === 'GET')
}

/** What the server says about a refusal, as far as it says anything. */
export async function readFailure (response: Response): Promise<Failure> {
  const { status } = response
  try {
    const { error = {} } = await response.json() as ErrorBody
    const { code = '', message = `The server answered ${status}.`, details = [] } = error
    const faults = details.slice(0, DETAILS_SHOWN)
      .map((detail) => `${detail.field ?? ''} ${detail.message ?? ''}`.trim())
    return { ok: false, status, code, message: [message, ...faults].join(' · ') }
  } catch {
    return { ok: false, status, code: '', message: `The server answered ${status}.` }
  }
}
