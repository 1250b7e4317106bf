/** A process that holds a directory's lock until it is killed. */
import { lockDirectory } from '../../../lib/host/data-directory.js'

await lockDirectory(process.argv[2]!, 'data directory')
setInterval(() => undefined, 60_000)
process.send?.('locked')
