// Package ssh is the way to a host: one authenticated connection, on which
// every command, every file and every Nix daemon conversation is a channel of
// its own.
//
// What it promises:
//
//   - A host's key is always checked, against the keys that the fleet pinned
//     and against known_hosts. Nothing is trusted on first use.
//   - Hosts are reached as OpenSSH would reach them, through jump hosts or a
//     ProxyCommand too: `ssh -G` is asked for the effective configuration. What
//     says how a host is reached and cannot be done is an error, not ignored;
//     KnownHostsCommand and PKCS11Provider, further sources of keys, are not asked.
//   - Every wait is bounded: by the caller's context, by the connect timeout
//     (which covers the key exchange too) and by keep-alives, which close a
//     connection whose other side has gone silent.
//   - What became of a command is never guessed: [ExitError] says that it ended
//     and how, [ErrConnectionLost] that nobody knows, [ErrClosed] that it was
//     not started.
//   - Who is not root becomes root by sudo or doas where a caller asks for it,
//     and nowhere else: see [Conn.AsRoot].
//   - Arguments reach the command byte by byte, whatever the login shell; the
//     content of a file is never an argument.
//
// Nothing is read from the process's own environment: see [Config].
package ssh
