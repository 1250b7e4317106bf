/** SQLSTATEs that the store distinguishes. */
export const CHECK_VIOLATION = '23514'
export const READ_ONLY_TRANSACTION = '25006'
export const INVALID_AUTHORIZATION = '28000'
export const DEPENDENT_OBJECTS_STILL_EXIST = '2BP01'
export const UNDEFINED_DATABASE = '3D000'
export const DEADLOCK_DETECTED = '40P01'
export const INSUFFICIENT_PRIVILEGE = '42501'
export const UNDEFINED_TABLE = '42P01'
export const LOCK_NOT_AVAILABLE = '55P03'
export const QUERY_CANCELED = '57014'
export const CANNOT_CONNECT_NOW = '57P03'
export const UNDEFINED_FILE = '58P01'
/** Someone else created the same object at the same moment: unique_violation, duplicate_table, _object and _schema. */
export const DUPLICATES: ReadonlySet<string> = new Set(['23505', '42P07', '42710', '42P06'])
