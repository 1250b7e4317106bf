/** Names and strings as SQL text. */

export function identifier (name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The same under either setting of standard_conforming_strings. */
export function literal (text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
