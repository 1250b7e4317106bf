/** The parts of docker-compose.yml that tests need, as an engine reads them: merged, with the variables of .env. */
import { parse } from 'yaml'

export interface Service {
  readonly image?: string
  readonly build?: string
  readonly environment?: Readonly<Record<string, string | null>>
  readonly command?: string | readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly profiles?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test?: readonly string[], readonly disable?: boolean }
  readonly restart?: string
  readonly stop_grace_period?: string
  readonly init?: boolean
  readonly read_only?: boolean
  readonly shm_size?: string
  readonly ulimits?: Readonly<Record<string, { readonly soft: number, readonly hard: number }>>
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

/** `${NAME:-default}`, the only form in the file. */
const VARIABLE = /\$\{(\w+):-([^}]*)\}/g

/** The names of the variables, with their defaults; a variable must have the same default everywhere. */
export function variablesOf (text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [, name = '', standard = ''] of text.matchAll(VARIABLE)) {
    if ((found.get(name) ?? standard) !== standard) throw new Error(`${name} has two defaults`)
    found.set(name, standard)
  }
  return found
}

/** @param variables as in .env */
export function parseCompose (text: string, variables: Readonly<Record<string, string>> = {}): ComposeFile {
  const replaced = text.replace(VARIABLE, (_, name: string, standard: string) => variables[name] ?? standard)
  // Comments may contain examples of variables.
  if (/^(?!\s*#).*\$/m.test(replaced)) throw new Error('a variable in an unsupported form')
  return parse(replaced, { merge: true }) as ComposeFile
}

export interface Mount {
  /** A path that starts with ./, or the name of a volume. */
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  /** Relabelled for SELinux, so that containers may read it. */
  readonly relabelled: boolean
}

export function mountsOf ({ volumes = [] }: Service): Mount[] {
  return volumes.map((volume) => {
    const [source = '', target = '', modes = ''] = volume.split(':')
    return { source, target, readOnly: modes.split(',').includes('ro'), relabelled: modes.split(',').includes('z') }
  })
}

export interface PublishedPort {
  readonly address: string
  readonly published: number
  readonly target: number
  readonly protocol: string
}

export function portsOf ({ ports = [] }: Service): PublishedPort[] {
  return ports.map((port) => {
    const [, address, published, target, protocol] = /^([\d.]+):(\d+):(\d+)\/(tcp|udp)$/.exec(port) ?? []
    if (address === undefined || protocol === undefined) throw new Error(`not address:port:port/protocol: ${port}`)
    return { address, published: Number(published), target: Number(target), protocol }
  })
}
