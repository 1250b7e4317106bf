import t from 'tap'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeMachine, diskVerdicts, fileSystemName } from '../../benchmarks/machine.js'
import { commandOf, readVersion } from '../../benchmarks/origin.js'
import { version } from '../../lib/support/version.js'

t.test('another program is asked for its version, which may be unknown', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const program = async (name: string, text: string): Promise<string> => {
    const path = join(directory, `${name}.cjs`)
    await writeFile(path, text)
    return path
  }
  t.equal(await readVersion(null), version())
  t.equal(
    await readVersion(await program('plain', 'console.log(process.argv[2] === "--version" ? "9.8.7" : "")')),
    '9.8.7'
  )
  t.equal(await readVersion(await program('named', 'console.log("other v2.0.0-rc.1")')), '2.0.0-rc.1')
  t.equal(await readVersion(await program('help', 'console.log("Usage: other")')), null)
  t.equal(await readVersion(await program('failing', 'process.exit(1)')), null)
})

t.test('the command can be pasted into a shell', t => {
  t.equal(commandOf([]), 'npm run bench')
  t.equal(commandOf(['--only', 'http,udp', '--', "it's"]), "npm run bench -- --only http,udp -- 'it'\\''s'")
  t.end()
})

t.test('a data directory in memory fails, and file systems have names', t => {
  t.equal(fileSystemName(0x01021994), 'tmpfs')
  t.equal(fileSystemName(0xef53), 'ext4')
  t.equal(fileSystemName(0x1234), '0x1234')
  t.match(diskVerdicts({ fileSystem: 'tmpfs' }), [{ passed: false, detail: /--data-dir/ }])
  t.same([...diskVerdicts({ fileSystem: 'xfs' }), ...diskVerdicts({ fileSystem: null })], [])
  t.end()
})

t.test('the file system is that of the chosen directory', { skip: process.platform !== 'linux' }, async t => {
  t.equal((await describeMachine('/dev/shm')).fileSystem, 'tmpfs')
  await t.rejects(describeMachine('/no/such/place'))
})
