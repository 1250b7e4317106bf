/**
 * The token of this tab. A server with tokens answers 401; the page then asks for one, once, however many requests are
 * waiting. It is kept in sessionStorage, so it ends with the tab and no other tab or site can read it.
 */
import { recall, remember } from './browser-storage.js'

const KEY = 'orbitstream-token'

export class Token {
  /** Why a token is needed; null: none is being asked for. */
  question: string | null = null
  private asked: { readonly answer: Promise<void>, readonly resolve: () => void } | null = null
  private value = usable(recall('session', KEY))

  constructor (private readonly onChange: () => void) {}

  /** Headers of a request. */
  get headers (): Readonly<Record<string, string>> {
    return this.value === '' ? {} : { authorization: `Bearer ${this.value}` }
  }

  get isSet (): boolean {
    return this.value !== ''
  }

  /**
   * Resolves once the user has given another token than `used`, the headers of the refused request.
   * @param why what the server said
   */
  async ask (why: string, used: Readonly<Record<string, string>>): Promise<void> {
    if (used['authorization'] !== this.headers['authorization']) return
    if (this.asked === null) {
      let resolve = (): void => {}
      const answer = new Promise<void>((_resolve) => { resolve = _resolve })
      this.asked = { answer, resolve }
      this.question = used['authorization'] === undefined ? why : `That token was not accepted. ${why}`
      this.onChange()
    }
    await this.asked.answer
  }

  give (token: string): void {
    this.value = usable(token)
    remember('session', KEY, this.value)
    this.question = null
    this.asked?.resolve()
    this.asked = null
    this.onChange()
  }
}

/** '' for what no header can carry: fetch would refuse every request. */
function usable (token: string): string {
  return /^[!-~]*$/.test(token) ? token : ''
}
