/**
 * Settings of the embedded server. They are written anew at each start; what a user sets with ALTER SYSTEM wins,
 * since PostgreSQL reads that later.
 */

/** For a small machine that takes in rows all day and is asked for the newest of them. */
export const SERVER_SETTINGS = `# Written by OrbitStream at each start. Use ALTER SYSTEM to change a setting for good.

# Only this machine, and only with the password.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'

# An acknowledged point must survive a power cut.
fsync = on
synchronous_commit = on
full_page_writes = on

# Enough for the pages that COPY fills and that queries of the last minutes read; the file cache has the rest.
shared_buffers = '256MB'
# COPY of large batches writes more than the 8 MB that would follow from shared_buffers.
wal_buffers = '16MB'

# Few checkpoints: after each one every page is written to the log in full when it first changes.
# The price is a recovery of up to a minute or so after a crash, and 4 GB of disk.
max_wal_size = '4GB'
min_wal_size = '512MB'
checkpoint_timeout = '15min'
# These binaries are built without lz4, and pglz costs more processor time than the smaller log saves.
wal_compression = off

# Queries over many partitions look dear beforehand, and are over before their code would be compiled.
jit = off

# Also freezes old rows and keeps the statistics fresh.
autovacuum = on

# The log is one file, kept small: it says what went wrong, not that a checkpoint went well.
logging_collector = off
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
`

/** How a database directory is made: text sorts by bytes, so that the order of COPY is the order of the index. */
export const INITDB_ARGUMENTS = [
  '--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8',
  '--auth=scram-sha-256', '--data-checksums', '--no-instructions'
]
