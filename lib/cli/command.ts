/** What a command of orbitstream-ingest is: one file in commands/, listed in ingest.ts. */
import type { Config, ConfigSources } from '../config/config.js'
import type { Option, OptionValues } from './options.js'

export interface CommandContext<O extends readonly Option[] = readonly Option[]> {
  readonly config: Config
  /** What the configuration was made of. */
  readonly sources: ConfigSources
  /** The command's own options. */
  readonly values: OptionValues<O>
  readonly positionals: readonly string[]
  /** A line for standard output. */
  readonly print: (text: string) => void
  /** A line for standard error. */
  readonly complain: (text: string) => void
}

export interface Command<O extends readonly Option[] = readonly Option[]> {
  readonly name: string
  /** One sentence. */
  readonly summary: string
  /** Its own options; those of the settings come by themselves. */
  readonly options: O
  /** Settings that matter to it, which become its flags. */
  readonly settings: ReadonlyArray<keyof Config> | 'all'
  readonly positionals?: { readonly usage: string, readonly min: number, readonly max: number }
  /** Resolves with the exit code: 0, 1 for a failure, 2 for a wrong use. */
  run (context: CommandContext<O>): Promise<number>
}

/** Lets the compiler derive the types of the options' values. */
export function defineCommand<const O extends readonly Option[]> (command: Command<O>): Command<O> {
  return command
}
