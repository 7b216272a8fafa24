// Package vars makes, keeps and shows the generated values of a fleet: it turns
// the generators that machines declare into files in the repository.
//
// The way of the data is one: [NewGraph] orders the generators, [NewPlan] says
// as a pure value what would be done and why, [Fleet.Run] does exactly that.
//
// Its contract:
//
//   - A value that exists is never replaced unless its generator was named. What
//     would have to replace one is refused, with the command that does it.
//   - A generator's script sees nothing but what it was given: no network, no
//     environment, no processes, no files of the host; see package sandbox. What is
//     built in runs in this process instead and needs no script; see package builtin.
//   - All results of a run are switched at once, under a lock and with a
//     journal: a crash leaves the old or the new state, which the next run
//     completes; see package repository. Pressing Ctrl-C changes nothing.
//   - A generator that fails takes along only what depends on it. What it was
//     to be combined with keeps its old values, so that no mixed pair is left.
//   - Plaintext of secrets is in memory and, while a script runs, in a private
//     folder on memory; never on a disk, in an argument, an environment
//     variable, a log or an error.
package vars
