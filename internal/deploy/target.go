package deploy

import (
	"context"
	"errors"

	"github.com/crs58/fleet/internal/flake"
)

// Where a system lives on every machine.
const (
	profilesDir   = "/nix/var/nix/profiles"
	profile       = profilesDir + "/system"
	currentSystem = "/run/current-system"
	bootedSystem  = "/run/booted-system"
	// runDir holds what activations leave: a folder for each one under way or
	// failed, and the marker, which names the system whose activation began and
	// has not succeeded yet.
	runDir = "/run/fleet"
	marker = runDir + "/activating"
)

// Target is one machine as a deploy sees it. Its methods are called one after
// another, never at once.
type Target interface {
	// String is the address, for people.
	String() string
	// Connect reaches the machine. A second call connects again if the
	// connection was lost and does nothing otherwise.
	Connect(ctx context.Context) error
	// Inspect looks at the machine and changes nothing. keyFile is where the
	// machine's age key lies; empty if nobody knows.
	Inspect(ctx context.Context, keyFile string) (Facts, error)
	// Holds tells which of some files the machine has, with the public half of the
	// key in keyFile if it can be derived there.
	Holds(ctx context.Context, keyFile string, files []string) (Holdings, error)
	// ReadFile gives the beginning of a file, at most limit bytes.
	ReadFile(ctx context.Context, path string, limit int) ([]byte, error)
	// Store is the URI of the machine's Nix store for nix copy.
	Store(ctx context.Context) (string, error)
	// StoreErr is what went wrong on the machine's side of Store, which Nix
	// itself is not told.
	StoreErr() error
	// WriteFile puts a file in place atomically, readable by root only, in a
	// folder that root alone may enter.
	WriteFile(ctx context.Context, path string, data []byte) error
	// SetProfile makes out the machine's newest generation, or its current one
	// again if it is that already.
	SetProfile(ctx context.Context, out string) error
	// Activate switches the machine to a system and returns the exit status of
	// its activation program. The activation goes on if ctx ends or this
	// process dies; an error that wraps [ErrUnknown] says that its end was not
	// seen.
	Activate(ctx context.Context, a Activation) (int, error)
	// Close gives back what Connect and Store took.
	Close() error
}

// ErrUnknown says that an activation was begun and its end not seen.
var ErrUnknown = errors.New("outcome unknown")

// Activation is one switch of one machine to one system.
type Activation struct {
	// ID names it on the machine; only letters, digits and dashes.
	ID    string
	Class flake.Class
	Out   string
	// Log is called with each line that the activation prints.
	Log func(line string)
}

// command is the activation program of a system and its arguments.
func (a Activation) command() []string {
	if a.Class == flake.Darwin {
		return []string{a.Out + "/activate"}
	}
	return []string{a.Out + "/bin/switch-to-configuration", "switch"}
}
