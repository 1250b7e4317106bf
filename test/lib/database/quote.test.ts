import t from 'tap'
import { BUILT_IN } from '../../../protocol/catalogue.js'
import { literal, statementsOf } from '../../../lib/database/quote.js'
import { readMigrations } from '../../../lib/schema/sql-files.js'

t.test('statements end at semicolons outside of comments, strings and bodies', (t) => {
  const bodies = 'DO $$ BEGIN; END; $$;\nDO $x$ SELECT $$;$$; $x$;\n-- the end;\n'
  const sql = `-- It's one; not two.\nSELECT ';', 'it''s;';\n${bodies}`
  t.strictSame(statementsOf(sql).map((statement) => statement.trim()), [
    "-- It's one; not two.\nSELECT ';', 'it''s;'", 'DO $$ BEGIN; END; $$', 'DO $x$ SELECT $$;$$; $x$'
  ])
  t.end()
})

t.test('of each migration, each begins with a keyword, and no character is lost', async (t) => {
  for (const { name, sql } of await readMigrations(BUILT_IN)) {
    const statements = statementsOf(sql)
    const bare = (text: string): string => text.replaceAll(/--[^\n]*|[;\s]/g, '')
    t.equal(bare(statements.join('')), bare(sql), name)
    for (const statement of statements) {
      t.match(statement.replaceAll(/--[^\n]*/g, '').trim(), /^[A-Z]+ /, name)
    }
  }
})

t.test('a string is the same under either setting of standard_conforming_strings', (t) => {
  t.strictSame(["it's", 'a\\b', "\\'"].map(literal), ["'it''s'", " E'a\\\\b'", " E'\\\\'''"])
  t.end()
})
