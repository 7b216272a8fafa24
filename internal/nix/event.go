package nix

import (
	"path"
	"strings"
)

// Event is one thing that Nix says while it works.
type Event struct {
	Kind     EventKind
	Activity Activity
	// ID tells activities of one process apart, Parent links them.
	ID, Parent uint64
	// Path is the derivation, store path or URL that the activity is about.
	Path string
	// Text describes an activity that starts, or is a line of a build's log,
	// the name of a build's phase, or a message. It has no control characters
	// but newlines in messages.
	Text string
	// Level of a message.
	Level Level
	// Progress of an activity, in its own unit (derivations, bytes, paths).
	Done, Expected, Running, Failed int64
}

// Name is the readable part of the event's path: the name of the derivation or
// store path without hash and without ".drv".
func (e Event) Name() string { return storeName(e.Path) }

// EventKind is the kind of an event.
type EventKind int

// The kinds of events.
const (
	Started  EventKind = iota + 1 // an activity begins
	Progress                      // an activity has advanced
	LogLine                       // a build has written a line
	Phase                         // a build has entered a phase
	Finished                      // an activity has ended
	Message                       // Nix says something to the user
)

// Activity is what Nix is doing. Activities that this program does not know
// are Other.
type Activity int

// The activities, by Nix's own numbers.
const (
	Other         Activity = 0
	CopyPath      Activity = 100
	FileTransfer  Activity = 101
	Realise       Activity = 102
	CopyPaths     Activity = 103
	Builds        Activity = 104
	Build         Activity = 105
	OptimiseStore Activity = 106
	VerifyPaths   Activity = 107
	Substitute    Activity = 108
	QueryPathInfo Activity = 109
	PostBuildHook Activity = 110
	BuildWaiting  Activity = 111
	FetchTree     Activity = 112
)

// Level is how serious a message is, as Nix counts.
type Level int

// The levels of messages.
const (
	LevelError  Level = 0
	LevelWarn   Level = 1
	LevelNotice Level = 2
	LevelInfo   Level = 3
)

// storeName turns /nix/store/HASH-NAME.drv into NAME.
func storeName(p string) string {
	base := strings.TrimSuffix(path.Base(p), ".drv")
	if hash, name, ok := strings.Cut(base, "-"); ok && len(hash) == 32 {
		return name
	}
	return base
}
