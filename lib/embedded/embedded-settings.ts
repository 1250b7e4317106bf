/**
 * Settings of the embedded server, rewritten at each start. ALTER SYSTEM overrides them, since PostgreSQL reads its
 * file later.
 */

/** For a small machine that ingests rows all day and mostly queries the newest. */
export const SERVER_SETTINGS = `# Written by OrbitStream at each start; ALTER SYSTEM overrides it permanently.

# Local connections only, with the password.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'

# An acknowledged point must survive a power cut.
fsync = on
synchronous_commit = on
full_page_writes = on

# Enough for the pages that COPY fills and recent queries read; the file cache holds the rest.
shared_buffers = '256MB'
# Large COPYs write more than the 8 MB derived from shared_buffers.
wal_buffers = '16MB'

# Few checkpoints: after each one, the first change to a page logs the page in full.
# The price is up to about a minute of crash recovery, and 4 GB of disk.
max_wal_size = '4GB'
min_wal_size = '512MB'
checkpoint_timeout = '15min'
# These binaries lack lz4, and pglz costs more CPU time than the smaller log saves.
wal_compression = off

# Queries over many partitions look expensive to the planner, but finish before their code would be compiled.
jit = off

# Also freezes old rows and keeps statistics current.
autovacuum = on

# One small log file: errors, not successful checkpoints.
logging_collector = off
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
`

/** Text sorts by bytes, so that COPY delivers rows in the order of the index. */
export const INITDB_ARGUMENTS = [
  '--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8',
  '--auth=scram-sha-256', '--data-checksums', '--no-instructions'
]
