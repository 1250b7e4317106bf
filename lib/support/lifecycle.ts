/**
 * Releasers: resources in the order they were opened, closed in reverse.
 *
 * Push a releaser right after acquiring. release() runs all of them, last first, even if earlier ones fail, and then
 * throws the first failure. Later calls share its promise.
 */
export type Releaser = () => void | Promise<void>

export class Lifecycle {
  private readonly releasers: Array<{ name: string, release: Releaser }> = []
  private releasing: Promise<void> | null = null

  /** @param name for error messages */
  push (name: string, release: Releaser): void {
    this.releasers.push({ name, release })
  }

  async release (): Promise<void> {
    this.releasing ??= this.run()
    await this.releasing
  }

  private async run (): Promise<void> {
    const failures: Error[] = []
    for (let next = this.releasers.pop(); next !== undefined; next = this.releasers.pop()) {
      try {
        await next.release()
      } catch (cause) {
        failures.push(new Error(`could not close ${next.name}`, { cause }))
      }
    }
    if (failures[0] !== undefined) throw failures[0]
  }
}
