/** Who ends what a test or a script has opened: a tap test, or the releasers of a script. Last opened, first ended. */
import { Lifecycle } from '../../lib/support/lifecycle.js'

export interface Owner {
  teardown (release: () => unknown): void
}

/** For scripts: ends everything when it is told to. */
export class ScriptOwner implements Owner {
  private readonly lifecycle = new Lifecycle()

  teardown (release: () => unknown): void {
    this.lifecycle.push('what the script opened', async () => { await release() })
  }

  async end (): Promise<void> {
    await this.lifecycle.release()
  }
}
