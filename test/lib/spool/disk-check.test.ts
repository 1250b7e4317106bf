/** A disk that is away answers reads like a damaged sector: nothing of it may be given up. */
import t from 'tap'
import type { Test } from 'tap'
import type { OpenFile } from '../../../lib/spool/file-system.js'
import { FakeDisk, FakeFiles, type Operation } from './fake-files.js'
import { appendAll, drain, openTestSpool, type Opened } from './support.js'

const DIRECTORY = '/data/spool/slot-0'
const TEXTS = ['one', 'two', 'three']

/** Files on a disk that may be away. */
class RemoteFiles extends FakeFiles {
  /** These operations fail. */
  failing: readonly Operation[] = []
  /** The disk comes back when it is checked. */
  comesBack = false

  override async perform<T> (operation: Operation | null, what: Parameters<FakeFiles['perform']>[1]): Promise<T> {
    if (operation !== null && this.failing.includes(operation)) {
      throw Object.assign(new Error(`EIO: ${operation}`), { code: 'EIO' })
    }
    return await super.perform(operation, what) as T
  }

  override async replace (path: string): Promise<OpenFile> {
    if (this.comesBack) this.failing = []
    return await super.replace(path)
  }
}

const AWAY = ['read', 'create', 'write', 'sync', 'syncDirectory'] as const

/** The disk of a process that was killed. */
async function write (t: Test): Promise<RemoteFiles> {
  const files = new RemoteFiles(new FakeDisk())
  const { spool } = await openTestSpool(t, { directory: DIRECTORY, files }, () => false)
  await appendAll(spool, TEXTS)
  files.kill()
  return new RemoteFiles(files.disk)
}

async function open (t: Test, files: RemoteFiles): Promise<Opened> {
  const opened = await openTestSpool(t, { directory: DIRECTORY, files })
  opened.spool.resume(null)
  return opened
}

t.test('frames on a disk that is away are read back once it is there', async (t) => {
  const files = await write(t)
  const { spool, gaps } = await open(t, files)
  files.failing = AWAY
  for (let attempt = 0; attempt < 2; attempt++) await t.rejects(spool.take(1000), { code: 'EIO' })
  files.failing = []
  t.same((await drain(spool)).texts, TEXTS)
  t.same(gaps, [])
  t.equal(files.disk.paths().some((path) => path.includes('check')), false)
})

t.test('frames that cannot be read from a disk that works, full or not, are a gap', async (t) => {
  for (const isFull of [false, true]) {
    const files = await write(t)
    const { spool, gaps } = await open(t, files)
    await appendAll(spool, ['later'])
    files.failing = ['read']
    if (isFull) files.disk.capacityBytes = files.disk.usedBytes
    t.same((await drain(spool)).texts, ['later'])
    t.match(gaps, [{ fromSequence: 1, toSequence: 3 }])
    files.failing = []
  }
})

t.test('frames on a disk that is away for a moment during the start are recovered', async (t) => {
  const files = await write(t)
  const openFile = files.open.bind(files)
  let opened = 0
  files.open = async (path) => {
    // First for its header.
    if (path.endsWith('.seg') && ++opened === 2) {
      files.failing = ['read']
      files.comesBack = true
    }
    return await openFile(path)
  }
  const { spool, recovery } = await open(t, files)
  t.match(recovery, { frames: 3, gaps: [], tornBytes: 0 })
  t.same((await drain(spool)).texts, TEXTS)
})

t.test('the id of a spool on a disk that is away is not lost', async (t) => {
  const files = await write(t)
  files.failing = AWAY
  files.syncDirectory = async () => { await Promise.resolve() }
  await t.rejects(openTestSpool(t, { directory: DIRECTORY, files }), { code: 'EIO' })
  files.failing = []
  t.same((await drain((await open(t, files)).spool)).texts, TEXTS)
})
