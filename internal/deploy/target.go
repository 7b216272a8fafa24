package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// Where a system lives on every machine.
const (
	profilesDir   = "/nix/var/nix/profiles"
	profile       = profilesDir + "/system"
	currentSystem = "/run/current-system"
	bootedSystem  = "/run/booted-system"
	// startList is what a NixOS switch that is not at its end has yet to start.
	startList = "/run/nixos/start-list"
)

// Target is one machine as a deploy sees it. Its methods are called one after
// another, never at once; only what [Target.Claim] began goes on beside them.
type Target interface {
	// String is the address, for people.
	String() string
	// Connect reaches the machine. A second call connects again if the
	// connection was lost and does nothing otherwise.
	Connect(ctx context.Context) error
	// Reconnect makes a new connection in place of the one at hand.
	Reconnect(ctx context.Context) error
	// Inspect looks at the machine and changes nothing. keyFile is where the
	// machine's age key lies; empty if nobody knows or asks. With the name of a deploy
	// the facts have the units that had failed before it, and lack the disk.
	Inspect(ctx context.Context, keyFile, deploy string) (Facts, error)
	// Holds tells which of some files the machine has, with the public half of the
	// key in keyFile if it can be derived there.
	Holds(ctx context.Context, keyFile string, files []string) (Holdings, error)
	// ReadFile gives the beginning of a file, at most limit bytes.
	ReadFile(ctx context.Context, path string, limit int) ([]byte, error)
	// Store is the URI of the machine's Nix store for nix copy.
	Store(ctx context.Context) (string, error)
	// Traffic is how many bytes went to the store and came from it so far.
	Traffic() int64
	// WriteFile puts a file in place atomically, readable by root only, in a
	// folder that root alone may enter.
	WriteFile(ctx context.Context, path string, data []byte) error
	// Generations lists the generations of the system profile.
	Generations(ctx context.Context) (Generations, error)
	// Exec runs a command of the user's to its end, with empty input. It ends with
	// ctx, as far as that is possible. An exit status other than 0 is an exitError.
	Exec(ctx context.Context, args []string, root bool, stdout, stderr io.Writer) error
	// DialContext connects from the machine to an address that it can reach. Like
	// Exec it may be used many times at once.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// Claim takes the machine for a run until the lease is released, this process
	// dies, or the connection does. A [BusyError] says that another run has it. The
	// run itself may claim it anew, and release the lease of before then. The
	// system that the run brings is no garbage there meanwhile.
	Claim(ctx context.Context, run, owner, system string) (Lease, error)

	// Mark notes there that the activation of a system begins; [Facts.Activating]
	// tells so until its end, or that of a restart.
	Mark(ctx context.Context, system string) error
	// Begin starts an activation that depends on nobody from then on. To begin
	// the same again changes nothing. A [BusyError] says that another is under way.
	Begin(ctx context.Context, a Activation) error
	// Adopt gives an activation that was begun before, by this driver or another;
	// with no name the one under way, or the last.
	Adopt(ctx context.Context, id string) (Activation, error)
	// Look tells how an activation stands, and what it printed since it was last
	// looked at. One that stands as it did is waited for, for so long at most.
	Look(ctx context.Context, id string, last Progress, wait time.Duration) (Progress, error)
	// Decide says what is to become of an activation that waits for it, and
	// gives what was decided, perhaps by another.
	Decide(ctx context.Context, id, token string, wanted Decision) (Decision, error)
	// Settle has an activation that lost its supervisor taken to its end.
	Settle(ctx context.Context) error
	// Close gives back what Connect and Store took.
	Close() error
}

// Lease is a claim of a machine.
type Lease interface {
	// Renew makes sure that the machine is claimed still, and says where it is now.
	// After an error it is to be claimed anew.
	Renew(ctx context.Context) (Place, error)
	// Release gives the machine back to other runs.
	Release()
}

// Place is where a machine is: what it runs, and the generation that its profile
// leads to.
type Place struct {
	System     string `json:"system"`
	Generation int    `json:"generation"`
}

// ErrUnknown says that an activation was begun and its end not seen.
var ErrUnknown = errors.New("outcome unknown")

// Activation is one switch of one machine to one system.
type Activation struct {
	// ID names it on the machine; only letters, digits and dashes. Names sort by
	// their age.
	ID    string
	Class flake.Class
	Out   string
	Goal  Goal
	// Found is the system that the machine ran when it was looked at: one that runs
	// another now is left alone.
	Found string
	// Generation is the number of the generation that Out is and that the machine
	// goes back to; 0 makes a new one.
	Generation int
	// Owner says who deploys, for whoever finds the machine busy.
	Owner string
	// Token is what the confirmation has to know. It never leaves the driver but
	// for the machine's folder of the activation, which is root's alone.
	Token string
	// Health is what has to hold for the new system to stay; nil for nothing.
	Health *flake.Health
	// Secrets are the files on the machine whose content the activation may print,
	// and nobody is told.
	Secrets []string
	// Limit bounds the activation program, Window is how long the machine waits
	// for its confirmation before it goes back to the system of before.
	Limit, Window time.Duration
}

// plan is the activation as begin.sh reads it.
func (a Activation) plan() string {
	var b strings.Builder
	for _, pair := range [][2]string{
		{"out", a.Out},
		{"found", a.Found},
		{"class", string(a.Class)},
		{"goal", string(a.Goal)},
		{"generation", fmt.Sprint(a.Generation)},
		{"owner", strings.Join(strings.Fields(a.Owner), " ")},
		{"token", a.Token},
		{"limit", fmt.Sprint(seconds(a.Limit))},
		{"window", fmt.Sprint(seconds(a.Window))},
		{"health", oneLine(a.Health)},
		{"secrets", oneLine(a.Secrets)},
	} {
		fmt.Fprintf(&b, "%s=%s\n", pair[0], pair[1])
	}
	return b.String()
}

// oneLine is plain data as JSON without line breaks.
func oneLine(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made of strings and numbers
	}
	return string(text)
}

// seconds rounds up: a bound is not shortened.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// program is the activation program of a system and its arguments. A Mac's
// knows no actions.
func program(class flake.Class, system, action string) []string {
	if class == flake.Darwin {
		return []string{system + "/activate"}
	}
	return []string{system + "/bin/switch-to-configuration", action}
}

// Progress is how an activation stood when it was last looked at.
type Progress struct {
	// Position is where its output was read to, Output what it printed since
	// the position before.
	Position, Output string
	Stand            Stand
	// Code is the exit status of the activation program once it has ended; -1
	// before, and if nobody knows.
	Code int
	// Ending and Cause are how it ended, when it did.
	Ending Ending
	Cause  Cause
}

// Stand is a step of an activation on its machine.
type Stand string

// The steps. A dead activation has no supervisor and is not at its end, of one
// that is gone the machine knows nothing.
const (
	Activating  Stand = "activating"
	Waiting     Stand = "waiting"
	Committing  Stand = "committing"
	Rebooting   Stand = "rebooting"
	RollingBack Stand = "rolling-back"
	Ended       Stand = "ended"
	Dead        Stand = "dead"
	Gone        Stand = "gone"
)

// Ending says what the machine is at after an activation.
type Ending string

// The endings. After EndFailed the machine is as it was, or there was nothing
// to go back to; a stranded machine could not go back.
const (
	EndDone       Ending = "done"
	EndRolledBack Ending = "rolled-back"
	EndFailed     Ending = "failed"
	EndStranded   Ending = "stranded"
)

// Cause is why an activation was not made permanent.
type Cause string

// The causes, as the supervisor writes them.
const (
	CauseFailed      Cause = "failed"      // the activation program
	CauseKilled      Cause = "killed"      // together with its supervisor
	CauseExpired     Cause = "expired"     // nobody confirmed it in time
	CauseRejected    Cause = "rejected"    // by the driver
	CauseFull        Cause = "full"        // the disk that the supervisor needs
	CauseRebooted    Cause = "rebooted"    // the machine, before the confirmation
	CauseUncommitted Cause = "uncommitted" // it could not be made permanent
	CauseUnrestarted Cause = "unrestarted" // the machine, into its new system
)

// Decision is what is to become of an activation: a [Cause] or Confirmed.
type Decision string

// The decisions that a driver can make, and the answers if there is none.
const (
	Confirmed Decision = "confirmed"
	Rejected  Decision = "rejected"

	undecidedGone     Decision = "gone"
	undecidedEarly    Decision = "early"
	undecidedStranger Decision = "stranger"
)

// errNoActivation says that a machine knows of no activation.
var errNoActivation = errors.New("no deploy is under way, and none is remembered")

// BusyError says that another deploy has the machine.
type BusyError struct {
	Target string
	Owner  string
	Age    time.Duration
	// ID is the activation that is under way, if it is that far; Run is the run that
	// has claimed the machine, as far as a look at it tells.
	ID, Run string
}

func (e *BusyError) Error() string {
	who := e.Owner
	if who == "" {
		who = "somebody"
	}
	text := fmt.Sprintf("a deploy to %s is under way, begun by %s %s ago", e.Target, who, e.Age)
	if e.ID != "" {
		text += " (" + e.ID + ")"
	}
	return text
}
