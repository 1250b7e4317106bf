/** Names and strings as SQL text. */

export function identifier (name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function literal (text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
