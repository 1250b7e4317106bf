/** A load without a server: stores points in a TimescaleDB database itself, see timescale/paced-store.ts. */
import { PacedStore, type StoreJob, type StoreResult } from '../timescale/paced-store.js'
import { serveLoad } from './child.js'

serveLoad<StoreResult>((job: StoreJob) => PacedStore.prepare(job))
