/** The text of --help: usage, summary, options by group in aligned columns. */
import { defaultText, valueTypeOf } from './options.js'
import type { ArgumentsSpec, Option } from './options.js'

const LINE_WIDTH = 100

function usageOf ({ name, alias, placeholder, ...rest }: Option): string {
  const type = valueTypeOf({ name, ...rest })
  const word = type === null ? '' : ` <${placeholder ?? type.name}>`
  return `  ${alias === undefined ? '    ' : `-${alias}, `}--${name}${word}`
}

function remarkOf (option: Option): string {
  if (option.note !== undefined) return ` (${option.note})`
  const text = defaultText(option)
  return text === null ? '' : ` (default ${text})`
}

function wrap (text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

/** Rows of two columns; the second wraps with a hanging indent. */
export function columns (rows: ReadonlyArray<readonly [string, string]>): string {
  const left = Math.max(...rows.map(([text]) => text.length)) + 2
  return rows.map(([first, second]) => {
    const lines = wrap(second, LINE_WIDTH - left)
    return lines.map((line, index) => (index === 0 ? first : '').padEnd(left) + line).join('\n')
  }).join('\n')
}

function groupText (heading: string, options: readonly Option[]): string {
  return `${heading}:\n${columns(options.map(option => [usageOf(option), option.help + remarkOf(option)]))}`
}

export function helpText ({ program, summary, options, positionals, epilogue }: ArgumentsSpec): string {
  const headings = [...new Set(options.map(({ group }) => group ?? 'Options'))]
  const groups = headings.map(heading =>
    groupText(heading, options.filter(({ group }) => (group ?? 'Options') === heading)))
  const usage = `Usage: ${program}${positionals === undefined ? '' : ` ${positionals.usage}`} [options]`
  return [usage, summary, ...groups, ...(epilogue === undefined ? [] : [epilogue])].join('\n\n')
}
