/** The shape of a command of orbitstream-ingest: one file each in commands/, listed in ingest.ts. */
import type { Output } from './output.js'
import type { ConfigSources } from '../config/config.js'
import type { Config } from '../config/settings.js'
import type { Option, OptionValues } from './options.js'

export interface CommandContext<O extends readonly Option[] = readonly Option[]> extends Output {
  readonly config: Config
  /** Where the configuration was loaded from. */
  readonly sources: ConfigSources
  /** The command's own options. */
  readonly values: OptionValues<O>
  readonly positionals: readonly string[]
}

export interface Command<O extends readonly Option[] = readonly Option[]> {
  readonly name: string
  /** One sentence. */
  readonly summary: string
  /** Its own options; those for settings are added. */
  readonly options: O
  /** Settings that the command uses; each becomes an option. */
  readonly settings: ReadonlyArray<keyof Config> | 'all'
  readonly positionals?: { readonly usage: string, readonly min: number, readonly max: number }
  /** Resolves with the exit code: 0 success, 1 failure, 2 invalid usage. */
  run (context: CommandContext<O>): Promise<number>
}

/** Says what is wrong with a command line. Returns the exit code. */
export function misused (command: string, { complain }: Output, problem: string): number {
  complain(`error: ${problem}\nTry: orbitstream-ingest ${command} --help`)
  return 2
}

/** Lets the compiler infer the option value types. */
export function defineCommand<const O extends readonly Option[]> (command: Command<O>): Command<O> {
  return command
}
