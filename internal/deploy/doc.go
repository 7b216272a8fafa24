// Package deploy brings machines to the system that their flake declares.
//
// The caller evaluates; a [Machine] carries what the evaluation told, or its
// error, which then fails alone. [Deployer.Plan] looks at the targets and says
// what would happen, as a value; [Deployer.Run] does what a plan says and
// [Deployer.Update] does both, machine by machine, without waiting for the
// slowest to answer. Each machine goes through reach, build, copy, secrets and
// activate on its own; the phases of different machines overlap, each with its
// own limit, and one failure leaves the others alone.
//
// A machine is seen through a [Target]: a folder that stands for its root
// (root:PATH), this computer (local), or a host behind SSH (ssh://HOST).
//
// Three things hold whatever happens: nothing is changed on a machine before
// its system is built and copied; an activation, once begun, does not depend on
// this process or on the connection; and where its end was not seen the outcome
// is called unknown.
package deploy
