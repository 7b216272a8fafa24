package vars

import "time"

// EventKind is what an [Event] tells of.
type EventKind string

// The kinds, in the order in which they come.
const (
	Recovered EventKind = "recovered" // an interrupted run was completed; Text says how
	Building  EventKind = "building"  // the scripts are built by Nix
	Started   EventKind = "started"   // a script runs
	Finished  EventKind = "finished"  // it has made its values; Duration is set
	Failed    EventKind = "failed"    // it has not; Text says why
	Skipped   EventKind = "skipped"   // not run or not kept because of another; Text says which
	Noted     EventKind = "note"      // Text is worth knowing
	KeyMade   EventKind = "key"       // a machine has a key
	Moved     EventKind = "moved"     // its values are where they belong now
	Accepted  EventKind = "accepted"  // its values stay as they are, and count as up to date
	Rewrapped EventKind = "rewrapped" // more people read File; its value stays
	Written   EventKind = "written"   // Path is in place
)

// Event is progress of a run. Events come one at a time. None holds a secret.
type Event struct {
	Kind EventKind `json:"kind"`
	ID
	File     string        `json:"file,omitempty"`
	Path     string        `json:"path,omitempty"`
	Text     string        `json:"text,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
}
