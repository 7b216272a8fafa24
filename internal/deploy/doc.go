// Package deploy brings machines to the system that their flake declares.
//
// The caller evaluates; a [Machine] carries what the evaluation told, its error,
// which then fails alone, or the way to find out. [Deployer.Plan] looks at the
// targets and says what would happen, as a value; [Deployer.Update] does it,
// machine by machine, without waiting for the slowest to answer. The phases of
// different machines overlap, each with its own limit, and one failure leaves the
// others alone. What changes a machine waits for its turn: waves and batches, see
// [Settings].
//
// A machine is seen through a [Target]: a folder that stands for its root
// (root:PATH), this computer (local), or a host behind SSH (ssh://HOST).
//
// # The way of one machine
//
//	evaluate ─ reach ─ build ─ copy ─ (its turn) ─ secrets ─ activate ─ confirm, health ─ end
//
// A machine that is where the [Goal] leads ends at reach. From there on it is
// claimed for the run, so that another run is refused with our name, and what is
// copied to it is no garbage. When its turn has come the claim is renewed, which tells
// where it is: a machine that somebody else has, or has changed, is left alone. Up to
// secrets nothing but the store of the machine is changed, and whatever stops there
// can be done again. Secrets count when they are activated: until that has succeeded,
// the machine holds a note that its system is to be. From activate on the machine
// itself is in charge: a supervisor on it, started by the driver and independent of
// it, takes the activation to one of its ends. A rollback goes the same way, without
// build and copy.
//
//	begin          the plan is in /var/lib/fleet/ID, root's alone and on the disk,
//	               and the link /var/lib/fleet/current was made: who makes it has
//	               the machine; one that leads to no whole plan counts as none
//	activating     `switch-to-configuration test` of the new system runs, for
//	               Limit at most: neither profile nor boot loader are touched
//	waiting        it succeeded; the driver makes a new connection, looks at the
//	               units that failed, runs the health checks and, with a token
//	               that only the two know, confirms or rejects; after Window the
//	               machine decides that it expired
//	committing     confirmed: the profile is set and `switch-to-configuration
//	               boot` makes the new system the one that is booted
//	rolling-back   anything else: the profile leads to the generation that was
//	               recorded at the beginning, and that system is activated
//	ended          done | rolled-back WHY | failed WHY | stranded WHY
//
// Each decision is a hard link that is made once, so that of a confirmation and
// a timeout only the first counts. All times are counted on the machine, by
// waiting: a clock that is wrong, or jumps, changes nothing.
//
// The supervisor can be started again wherever it stopped. Where there is
// systemd it is a transient unit that systemd restarts when it is killed, and a
// persistent unit, where there is a place for one, starts it after a reboot; on a
// Mac launchd does that; elsewhere it is a process of a session of its own, and
// the next driver that comes settles what it finds. After a reboot an activation
// that was not confirmed is over: the boot loader, which nobody has touched, has
// brought up the system of before.
//
// The goal boot does not activate; the goal reboot commits first, restarts, waits
// for its confirmation then, and without it restarts back into what ran before, or
// was booted before where the new system ran already.
//
// On this computer and in a folder this process supervises the activation: here
// nixos-rebuild or darwin-rebuild runs in front of the user, at the terminal. Should
// this process be killed, the system that is active is not made permanent; until a
// reboot or the next update a status says so. In a folder the activation holds the
// claim, too: nobody else gets that before it has ended.
//
// # What is left of a driver
//
// A run is written down in a [Record] before it is done. Another driver can join
// an activation, with or without the record ([Deployer.Attach]), and go on with
// the run ([Deployer.Resume]).
//
// Three things hold whatever happens: nothing is changed on a machine before
// its system is built and copied; an activation on a host, once begun, comes to its
// end without this process and without the connection; and where that end was not
// seen the outcome is called unknown.
package deploy
