// Package nix is the executor: every process of Nix that the program starts is
// started here.
//
// The contract:
//   - One request is one process of nix; nothing is run beforehand to find out
//     what nix can do. Only a failure that has no better explanation asks nix
//     for its version, once.
//   - No shell, no stdin, no controlling terminal: nix cannot ask anything.
//     Flakes are switched on by flag. What a flake's own nixConfig wants is
//     refused or accepted by [Options.AcceptFlakeConfig], never asked.
//   - The environment given to nix is what nix needs and no more: secrets of
//     this program and its user do not reach evaluation or builders.
//   - When the context ends, nix gets SIGTERM, then, after five seconds,
//     its whole process group gets SIGKILL. Nothing is left behind.
//   - What nix writes on stderr (internal-json) becomes [Event] values for the
//     display, text in a log file, and, when it fails, an [Error] with the
//     message, the position in the user's own file, and the trace.
//
// The package knows nothing of fleets. [Cache] keeps results of pure evaluation
// under what [CLI.EvalKey] says they depend on, cheaply.
package nix
