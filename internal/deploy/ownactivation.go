package deploy

import (
	"sync"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// ownActivation is an activation that this process supervises itself: in a
// folder, where nothing outlives it, and on this computer, whose terminal the
// activation is to keep.
type ownActivation struct {
	a          Activation
	on         ground
	from, link string // the system and the generation that it found

	decision chan Decision

	mu       sync.Mutex
	progress Progress
	moved    chan struct{} // closed, and made anew, with each progress
	decided  Decision
}

// ground is what is activated on.
type ground interface {
	// apply has a system do an action, as [program] knows it, with variables
	// NAME=VALUE in its environment, and gives its exit status.
	apply(system, action string, env ...string) int
	// commit makes the activated system permanent.
	commit(a Activation) error
	// running is the system that runs, generation what the profile's link says.
	running() string
	generation() string
	// halfway tells that a switch began to change units and did not come to its end.
	halfway() bool
	switchProfile(generation string) error
	// say tells something beside what the programs print.
	say(text string)
	// end is called last; settled unless the system is to be activated again.
	end(settled bool)
}

func newOwnActivation(a Activation, on ground) *ownActivation {
	return &ownActivation{
		a: a, on: on, from: on.running(), link: on.generation(),
		decision: make(chan Decision, 1), progress: Progress{Stand: Activating, Code: -1}, moved: make(chan struct{}),
	}
}

// is tells whether it is the activation of this name.
func (o *ownActivation) is(id string) bool { return o != nil && o.a.ID == id }

// stand tells how the activation stands.
func (o *ownActivation) stand() Progress {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.progress
}

// await tells how the activation stands once it stands otherwise, or has been
// waited for long enough.
func (o *ownActivation) await(other Stand, wait time.Duration) Progress {
	enough := time.After(wait)
	for {
		o.mu.Lock()
		progress, moved := o.progress, o.moved
		o.mu.Unlock()
		if progress.Stand != other {
			return progress
		}
		select {
		case <-moved:
		case <-enough:
			return o.stand()
		}
	}
}

// supervise is what supervise.sh is on a machine; activate runs the activation.
func (o *ownActivation) supervise(activate func() int) {
	code := activate()
	o.set(func(p *Progress) { p.Code = code })
	if !succeeded(o.a.Class, code) {
		o.back(CauseFailed)
		return
	}
	if o.a.Goal == Boot { // nothing that runs has changed
		o.decide(Confirmed)
	}
	o.set(func(p *Progress) { p.Stand = Waiting })
	decision := Decision(CauseExpired)
	select {
	case decision = <-o.decision:
	case <-time.After(o.a.Window):
		decision = o.decide(decision)
	}
	if decision != Confirmed {
		o.back(Cause(decision))
		return
	}
	o.set(func(p *Progress) { p.Stand = Committing })
	if o.a.Goal != Test {
		if err := o.on.commit(o.a); err != nil {
			o.on.say(err.Error())
			o.back(CauseUncommitted)
			return
		}
	}
	o.end(EndDone, "")
}

// back goes back to the system that the activation found.
func (o *ownActivation) back(cause Cause) {
	o.set(func(p *Progress) { p.Stand = RollingBack })
	if o.from == "" || cause == CauseFailed && o.refused() {
		o.end(EndFailed, cause)
		return
	}
	if o.from != o.a.Out {
		o.on.say(goingBack + o.from)
	}
	action, lost := string(Test), false
	if o.link != "" && o.on.generation() != o.link {
		action = string(Switch)
		if err := o.on.switchProfile(o.link); err != nil {
			o.on.say(err.Error())
			lost = true
		}
	}
	if o.from == o.a.Out {
		o.end(EndFailed, cause)
		return
	}
	// Its checks before a switch are not asked: it ran before.
	code := o.on.apply(o.from, action, "NIXOS_NO_CHECK=1")
	if lost || o.on.running() != o.from { // or its profile leads to the new system
		o.set(func(p *Progress) { p.Code = code })
		o.end(EndStranded, cause)
		return
	}
	o.end(EndRolledBack, cause)
}

// refused tells that nothing was changed: a check before the switch said no, or
// another one is under way.
func (o *ownActivation) refused() bool {
	switch code, now := o.stand().Code, o.on.running(); {
	case o.a.Class == flake.Darwin:
		return false
	case code == codeLocked:
		return now != o.a.Out
	default:
		return code == codeRefused && now == o.from && !o.on.halfway()
	}
}

func (o *ownActivation) end(ending Ending, cause Cause) {
	o.on.end(ending != EndFailed || o.on.running() != o.a.Out)
	o.set(func(p *Progress) { p.Stand, p.Ending, p.Cause = Ended, ending, cause })
}

func (o *ownActivation) set(change func(*Progress)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.progress)
	close(o.moved)
	o.moved = make(chan struct{})
}

// decide gives the first decision that was made.
func (o *ownActivation) decide(wanted Decision) Decision {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.decided == "" {
		o.decided = wanted
		o.decision <- wanted
	}
	return o.decided
}
