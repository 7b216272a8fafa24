package deploy

import (
	"strings"
	"time"
)

// Phase is a step on the way of one machine.
type Phase string

// The phases, in their order. End closes a machine's way; its State is the
// outcome.
const (
	Evaluate Phase = "evaluate"
	Reach    Phase = "reach"
	Build    Phase = "build"
	Copy     Phase = "copy"
	Secrets  Phase = "secrets"
	Activate Phase = "activate"
	Confirm  Phase = "confirm"
	Health   Phase = "health"
	End      Phase = "end"
)

// State says how a phase, or at the End a machine, stands.
type State string

// The states. Unchanged, RolledBack, NotStarted, HeldBack and Skipped are outcomes of a
// machine only.
const (
	Started     State = "started"
	Running     State = "running"
	Done        State = "done"
	Unchanged   State = "unchanged"
	Failed      State = "failed"
	RolledBack  State = "rolled back"
	Unknown     State = "unknown"
	Interrupted State = "interrupted"
	NotStarted  State = "not started"
	HeldBack    State = "held back"
	Skipped     State = "skipped"
)

// Event tells what one machine is doing. A phase begins with Started, may tell
// more with Running, and ends with Done or with the machine's End.
type Event struct {
	Machine string    `json:"machine"`
	Phase   Phase     `json:"phase"`
	State   State     `json:"state"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time"`
}

// text is the event as a line of a log.
func (e Event) text() string {
	if e.State == Running {
		return e.Message
	}
	return strings.TrimSuffix(string(e.State)+": "+e.Message, ": ")
}
