package deploy

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/ssh"
)

// Machine is one machine to deploy: what the flake says of it.
type Machine struct {
	Name  string
	Class flake.Class
	// Wave says when the machine is changed: after all machines of lower waves.
	Wave int
	// Address is deploy.targetHost as written.
	Address string
	// Details are what the machine's evaluation told, with the toplevel; Err is
	// why it told nothing, and fails this machine alone. Where neither is known
	// yet, Evaluate fills in what it finds out.
	Details  *flake.Details
	Err      error                                       `json:"-"`
	Evaluate func(ctx context.Context, m *Machine) error `json:"-"`
	// BuildHost is where the machine's system is built, as written; empty for here.
	BuildHost string `json:",omitempty"`
	// Unnamed says that nobody named the machine itself: one that is to be named for
	// an update is left alone then.
	Unnamed bool `json:",omitempty"`
}

// Buildable tells whether the derivation of the machine's system is still there:
// a garbage collection may have taken it since the evaluation.
func (m Machine) Buildable() bool {
	if m.Details == nil || m.Details.Toplevel == nil {
		return false
	}
	_, err := os.Stat(m.Details.Toplevel.DrvPath)
	return err == nil
}

// Options is what a [Deployer] works with. Only Nix is needed by all.
type Options struct {
	Nix nix.Executor
	// Directory is the flake's folder, which relative root: paths are below.
	Directory string
	// Dial reaches the host of an SSH address, which is that of a machine, as
	// root, and bounds each step of that by itself.
	Dial func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error)
	// MachineKey gives a machine's private age key, as
	// secrets.MachinePrivateKey does and with its errors.
	MachineKey func(ctx context.Context, machine string) ([]byte, error)
	// Secret decrypts a value that a machine knows as generator/file; it matters
	// for uploads only.
	Secret func(ctx context.Context, machine, value string) ([]byte, error)
	// Unmade names, as generator/file, the secrets of a machine that have no value;
	// nil asks nobody.
	Unmade func(machine string, details *flake.Details) ([]string, error)
	// Root says that this process is root, which a local target needs no sudo for.
	Root bool
	// Terminal lends the terminal to programs that run on this computer in front of
	// the user: sudo, and the activation of a local target. Nil: there is none.
	Terminal func(use func(in io.Reader, out io.Writer) error) error
	// OnEvent is told what happens; never two calls at once.
	OnEvent func(Event)
	Now     func() time.Time
	// Random makes the names of activations and the tokens of confirmations.
	Random io.Reader
	// Run names this run for the machines, Owner says whose it is, such as
	// crs58@stibnite.
	Run, Owner string
	// Names are the machines behind addresses of build hosts, for their host keys.
	Names map[string]string
	// Found is where machines were when a run that is gone on with looked at them
	// first; one that is elsewhere now was changed by somebody, and is left alone.
	Found map[string]Place
	// Record keeps the run on the disk; nil keeps nothing.
	Record *Record
	Settings
}

// Settings say how a run is to go. They are kept in its record.
type Settings struct {
	Goal Goal `json:"goal"`
	// Rollback says that machines are taken back to an earlier generation. Such a
	// run can be joined, but not gone on with: what was earlier then is not now.
	Rollback bool `json:"rollback,omitempty"`
	// SkipUnreachable has a machine at which nobody answers skipped instead of failed.
	SkipUnreachable bool `json:"skipUnreachable,omitempty"`
	// Reboot restarts machines whose system is not wholly up without that.
	Reboot bool `json:"reboot,omitempty"`
	// Batches cut the run into groups of machines that are changed one after
	// another; none makes one group of each wave.
	Batches []Batch `json:"batches,omitempty"`
	// StopAfter is how many machines may fail before no more are changed; 0 is
	// any number.
	StopAfter int `json:"stopAfter,omitempty"`
	// BuildHost builds for all machines, BuildOnTarget has each build for itself.
	// Without them it is what a machine says, or this computer.
	BuildHost     string `json:"buildHost,omitempty"`
	BuildOnTarget bool   `json:"buildOnTarget,omitempty"`
	// TargetHost is where the one machine of the run is reached in place of its own
	// address; empty for there. [Machine.Address] says the same.
	TargetHost string   `json:"targetHost,omitempty"`
	Limits     Limits   `json:"limits"`
	Timeouts   Timeouts `json:"timeouts"`
}

// Limits says for how many machines at once a phase runs; zero is the default.
type Limits struct{ Reach, Build, Copy, Activate int }

// BuildsAtOnce is for how many machines builds run at once by default: one for each
// core here, and no more than four, for each may use all of them. Those before the
// others come to their activation first, and are not in the way of the rest then.
func BuildsAtOnce() int { return min(4, runtime.NumCPU()) }

// Timeouts bounds the waits; zero is the default.
type Timeouts struct {
	// Reach bounds looking at a machine.
	Reach time.Duration
	// Activate bounds an activation program on the machine, which goes back when
	// it takes longer. It is in whole seconds, as Confirm is.
	Activate time.Duration
	// Confirm is how long a machine waits, after its activation, for the
	// confirmation before it goes back.
	Confirm time.Duration
	// Stall is how long a copy may move nothing before it is tried again.
	Stall time.Duration
	// Reboot is how long a machine may take to come up again.
	Reboot time.Duration
	// Reconnect bounds the attempts to find a machine again that was lost
	// during its activation; unless set, that is long enough for it to go back.
	Reconnect time.Duration
}

// The defaults of limits and timeouts.
const (
	defaultReach    = 32
	defaultCopy     = 8
	defaultActivate = 16

	defaultReachTimeout    = 15 * time.Second
	defaultActivateTimeout = 30 * time.Minute
	defaultConfirmTimeout  = 2 * time.Minute
	defaultRebootTimeout   = 10 * time.Minute
	defaultStallTimeout    = 5 * time.Minute
	// reconnectGrace is for going back, on top of the time for the confirmation.
	reconnectGrace = 2 * time.Minute
)

// Deployer deploys the machines of one fleet. It keeps their connections
// between a plan and its run; Close ends them.
type Deployer struct {
	o      Options
	limits map[Phase]*places

	mu       sync.Mutex // guards targets and builders
	targets  map[string]Target
	builders map[string]*builder // by address

	eventMu  sync.Mutex // orders events, guards recorded
	recorded time.Time  // when the last event was
	secrets  mask
}

// New makes a deployer.
func New(o Options) *Deployer {
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	setDefault(&o.Timeouts.Reach, defaultReachTimeout)
	setDefault(&o.Timeouts.Activate, defaultActivateTimeout)
	setDefault(&o.Goal, Switch)
	setDefault(&o.Timeouts.Confirm, defaultConfirmTimeout)
	setDefault(&o.Timeouts.Reboot, defaultRebootTimeout)
	setDefault(&o.Timeouts.Stall, defaultStallTimeout)
	setDefault(&o.Limits.Reach, defaultReach)
	setDefault(&o.Limits.Build, BuildsAtOnce())
	setDefault(&o.Limits.Copy, defaultCopy)
	setDefault(&o.Limits.Activate, defaultActivate)
	if o.Run == "" {
		o.Run = newName(o.Now(), o.Random)
	}
	return &Deployer{
		o: o,
		limits: map[Phase]*places{
			Reach: newPlaces(o.Limits.Reach), Build: newPlaces(o.Limits.Build),
			Copy: newPlaces(o.Limits.Copy), Activate: newPlaces(o.Limits.Activate),
		},
		targets: map[string]Target{}, builders: map[string]*builder{},
	}
}

// NewRun names a run. Names sort by their age.
func NewRun(now time.Time, random io.Reader) string { return newName(now, random) }

// newName makes a name that sorts by its age, safe as that of a unit and of a
// folder. Should there be no randomness, the time has to do.
func newName(now time.Time, random io.Reader) string {
	var b [4]byte
	_, _ = io.ReadFull(random, b[:])
	return strings.ReplaceAll(now.UTC().Format("20060102-150405.000-"), ".", "-") + hex.EncodeToString(b[:])
}

func setDefault[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}

// Close ends the connections.
func (d *Deployer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first error
	for name, t := range d.targets {
		if err := t.Close(); err != nil && first == nil {
			first = fmt.Errorf("close the connection to %s: %w", name, err)
		}
		delete(d.targets, name)
	}
	for name, b := range d.builders {
		if err := b.close(); err != nil && first == nil {
			first = fmt.Errorf("close the connection to the build host %s: %w", name, err)
		}
		delete(d.builders, name)
	}
	return first
}

// target gives the target of a machine, the same one every time.
func (d *Deployer) target(machine string, class flake.Class, address string) (Target, error) {
	a, err := ParseAddress(address, d.o.Directory)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.targets[machine]; ok {
		return t, nil
	}
	var t Target
	switch a.Kind {
	case Root:
		t = newRootTarget(a.Path)
	case Local:
		t = newLocalTarget(class, d.o.Root, d.o.Terminal)
	case SSH:
		if d.o.Dial == nil {
			return nil, fmt.Errorf("reach %s: this command does not use SSH", a)
		}
		t = newSSHTarget(a.String(), func(ctx context.Context) (*ssh.Conn, error) { return d.o.Dial(ctx, machine, a.SSH) }, d.o.Timeouts.Reach)
	}
	d.targets[machine] = t
	return t, nil
}

// each runs do for every element at once and waits for all. They begin in order.
func each[T any](list []T, do func(i int, item T)) {
	var wg sync.WaitGroup
	for i, item := range list {
		wg.Go(func() { do(i, item) })
		runtime.Gosched() // or the last would be the first
	}
	wg.Wait()
}

// during runs do while holding a place in a phase that has a limit.
func (d *Deployer) during(ctx context.Context, phase Phase, do func() error) error {
	return d.duringOf(ctx, phase, 0, do)
}

// duringOf is during for a machine of a wave, before which those of lower waves get
// a place.
func (d *Deployer) duringOf(ctx context.Context, phase Phase, wave int, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if limit, ok := d.limits[phase]; ok {
		if err := limit.take(ctx, wave); err != nil {
			return err
		}
		defer limit.give()
	}
	err := do()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

func (d *Deployer) emit(machine string, phase Phase, state State, message string) {
	d.eventMu.Lock()
	defer d.eventMu.Unlock()
	e := Event{Machine: machine, Phase: phase, State: state, Message: d.secrets.text(machine, message), Time: d.o.Now()}
	d.record(e)
	d.o.Record.log(e.Time, machine, phase, e.text())
	d.o.OnEvent(e)
}

// record keeps an event. What tells more of a phase may come without end, and is
// in the machine's log: of that only so much is kept as shows when the driver
// was last at work.
func (d *Deployer) record(e Event) {
	const beat = 10 * time.Second
	if e.State == Running && e.Time.Sub(d.recorded) < beat {
		return
	}
	d.recorded = e.Time
	_ = d.o.Record.append(entry{Event: &e}, false) // Record.Close tells
}

// show tells what a machine is at, to those who look on: its log has it already.
func (d *Deployer) show(machine string, phase Phase, message string) {
	d.eventMu.Lock()
	defer d.eventMu.Unlock()
	e := Event{Machine: machine, Phase: phase, State: Running, Message: message, Time: d.o.Now()}
	d.record(e)
	d.o.OnEvent(e)
}

// log writes into a machine's log what is not worth an event.
func (d *Deployer) log(now time.Time, machine string, phase Phase, text string) {
	d.o.Record.log(now, machine, phase, d.secrets.text(machine, text))
}
