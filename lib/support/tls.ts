/** What a server needs for TLS, as text in PEM. */
export interface TlsMaterial {
  /** The certificate, followed by those that lead to its root. */
  readonly cert: string
  /** Not encrypted. */
  readonly key: string
  /** Roots of the certificates that clients must present; null: clients need none. */
  readonly clientCa: string | null
}

/** TLS 1.0 and 1.1 are broken (RFC 8996). uWebSockets.js has the same minimum built in. */
export const TLS_VERSION_MIN = 'TLSv1.2'
