/** Messages that docs/OPERATE.md explains are messages of the program. */
import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Messages of PostgreSQL, Grafana and curl. */
const FOREIGN = [
  'starting up', 'password authentication failed', 'out of shared memory',
  'You might need to increase max_locks_per_transaction', 'permission denied', 'Empty reply from server',
  'wrong version number'
]
/** What the program puts into its messages, and what stands for it on the page. */
const FILLED_IN = /…|\bslot-N\b|\bDATA_DIR\b|\bledger_|\d+/
const FRAGMENT_LENGTH_MIN = 4

function sources (): string {
  const files = ['lib', 'protocol'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(ROOT, folder, file)))
  return files.filter((file) => file.endsWith('.ts')).map((file) => readFileSync(file, 'utf8')).join('\n')
}

/** Quoted messages in the first column of a table: code or text between quotation marks, of more than one word. */
function messagesOf (page: string): string[] {
  const cells = page.split('\n').filter((line) => line.startsWith('| ')).map((line) => line.split(/(?<!\\)\|/)[1] ?? '')
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`|"([^"]+)"/g)].map(([, code, text]) => code ?? text ?? ''))
    .filter((message) => message.includes(' ') && !message.startsWith('bin/'))
}

t.test('every message that is explained exists', (t) => {
  const [source, messages] = [sources(), messagesOf(readFileSync(join(ROOT, 'docs/OPERATE.md'), 'utf8'))]
  t.ok(messages.length > 30, 'there are messages')
  t.same(FOREIGN.filter((message) => !messages.includes(message)), [], 'no exception for nothing')
  for (const message of messages.filter((message) => !FOREIGN.includes(message))) {
    const fragments = message.split(FILLED_IN).map((fragment) => fragment.trim())
    const missing = fragments.filter((text) => text.length >= FRAGMENT_LENGTH_MIN && !source.includes(text))
    t.same(missing, [], message)
  }
  t.end()
})
