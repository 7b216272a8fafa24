// Package host is about one machine's life: it brings a new machine to its
// first system and says how far a machine has come.
//
// [Bootstrap] goes through preflight, vars, gate, build, copy, secrets,
// activate and health. Each step finds out for itself whether there is anything
// to do, so that a bootstrap that was stopped anywhere is resumed by running it
// again, and one that is complete changes nothing. Nothing is changed on the
// machine before its secrets exist, can be decrypted and are meant for it.
package host
