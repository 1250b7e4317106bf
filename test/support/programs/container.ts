/** Processes as in a separate container that shares our files. */
import { spawnSync } from 'node:child_process'

/** Arguments of unshare(1) for separate process ids, /proc and System V memory; all processes end with the first. */
export const CONTAINER = [
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
  '--pid', '--ipc', '--fork', '--mount-proc', '--kill-child'
]

const tried = spawnSync('unshare', [...CONTAINER, 'true'], { encoding: 'utf8' })
export const needsContainer = tried.status === 0
  ? {}
  : { skip: `cannot create namespaces: ${tried.error?.message ?? tried.stderr.trim()}` }
