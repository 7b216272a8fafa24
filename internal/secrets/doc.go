// Package secrets holds the cryptographic and on-disk side of a fleet's values:
// the administrator's age identities, recipients and key.json files, sops
// envelopes and age files, the layouts that say where a value lies in a
// repository, and the sops files that people write beside the values, with the
// .sops.yaml that says who is to read them.
//
// Its contract:
//
//   - Bytes are exact. What is encrypted comes back as it was: empty, binary,
//     with or without a final newline.
//   - It reads and never writes. Everything that is to change is returned as
//     [repository.File] values, for a [repository.Transaction] to put in place.
//   - Plaintext and private keys live in memory only; no error, warning or log
//     line contains any.
//   - Nothing is taken from the process environment: identities are loaded from
//     an injected [Env] and handed to every call that decrypts.
//   - File access below a repository goes through [os.Root]: neither a hostile
//     name nor a symbolic link leads out of it.
//   - Envelopes are those of the sops program, made by its library. No other
//     package of this module imports that library.
package secrets
