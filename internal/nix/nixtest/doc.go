// Package nixtest is for the tests of the rooms above nix.
//
// [Recorder] wraps a real executor and writes down what it was asked and what
// it answered; [Player] is an executor that answers from such a file, without
// any Nix. A recording is not an invention: the test that makes it also runs
// the real thing and compares ([Recorder.Check]), and rewrites the file with
// -update.
//
// [Env] and [Flake] give tests of the real Nix its environment and tiny flakes.
package nixtest
