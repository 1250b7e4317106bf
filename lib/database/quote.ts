/** SQL as text: names, strings, statements. */

export function identifier (name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The same under either setting of standard_conforming_strings. */
export function literal (text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/** Comments, strings, bodies of functions, and what ends a statement. */
const TOKEN = /--[^\n]*|'(?:[^']|'')*'|\$(\w*)\$[^]*?\$\1\$|;/g

/** The statements of a text of ours, which are what they are under either setting of standard_conforming_strings. */
export function statementsOf (sql: string): string[] {
  const statements: string[] = []
  let from = 0
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    if (token !== ';') continue
    statements.push(sql.slice(from, index))
    from = index + 1
  }
  statements.push(sql.slice(from))
  return statements.filter((statement) => statement.replaceAll(/--[^\n]*/g, '').trim() !== '')
}
