/**
 * Bounds the nesting of YAML text before it is composed. `yaml` composes recursively: text such as `[[[[…` exhausts the
 * stack, and if V8 happens to compile a regular expression there, it aborts the process instead of throwing. The
 * parser below it keeps its own stack.
 */
import { Parser, type CST } from 'yaml'

/** Whether collections are nested more than `depthMax` deep. */
export function nestsDeeper (text: string, depthMax: number): boolean {
  let level: CST.Token[] = [...new Parser().parse(text)].flatMap(childrenOf)
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > depthMax) return true
    level = level.flatMap(childrenOf)
  }
  return false
}

function childrenOf (token: CST.Token): CST.Token[] {
  if (token.type === 'document') return token.value === undefined ? [] : [token.value]
  if (!('items' in token)) return []
  return token.items.flatMap(({ key, value }) => [key, value]).filter((child) => child !== undefined && child !== null)
}
