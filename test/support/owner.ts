/** Owns what a test or a script opens: a tap test, or a script's lifecycle. Released in reverse order of opening. */
import { Lifecycle } from '../../lib/support/lifecycle.js'

export interface Owner {
  teardown (release: () => unknown): void
}

/** For scripts: releases everything at end(). */
export class ScriptOwner implements Owner {
  private readonly lifecycle = new Lifecycle()

  teardown (release: () => unknown): void {
    this.lifecycle.push('what the script opened', async () => { await release() })
  }

  async end (): Promise<void> {
    await this.lifecycle.release()
  }
}
