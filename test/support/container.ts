/** Processes as in a container of their own that shares our files. */
import { spawnSync } from 'node:child_process'

/** Arguments of unshare(1): process ids, /proc and System V memory of their own, and an end that is that of all of them. */
export const CONTAINER = [
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']), '--pid', '--ipc', '--fork', '--mount-proc', '--kill-child'
]

const tried = spawnSync('unshare', [...CONTAINER, 'true'], { encoding: 'utf8' })
export const needsContainer = tried.status === 0 ? {} : { skip: `no namespaces here: ${tried.error?.message ?? tried.stderr.trim()}` }
