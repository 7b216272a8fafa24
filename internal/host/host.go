package host

import (
	"context"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars"
)

// Machine is the machine that it is about, as the inventory has it.
type Machine struct {
	Name    string
	Class   flake.Class
	Address string // deploy.targetHost
}

// Options is what the functions of this package work with.
type Options struct {
	// Deploy is how machines are deployed to; its OnEvent is not used.
	Deploy deploy.Options
	// Evaluate reads the flake as it is now, and of it one machine; with
	// toplevel its system too.
	Evaluate func(ctx context.Context, machine string, toplevel bool) (*flake.Details, error)
	// Generate makes the machine's missing values, as `fleet vars generate`
	// does, and says in a few words what it made.
	Generate func(ctx context.Context, machine string, details *flake.Details) (string, error)
	// Check looks at the machine's values, as vars.Fleet.Check does.
	Check func(ctx context.Context, machine string, details *flake.Details) ([]vars.Finding, error)
	// OnEvent is told what happens; never two calls at once.
	OnEvent func(Event)
}

// Step is a part of a bootstrap.
type Step string

// The steps, in their order.
const (
	Preflight Step = "preflight"
	Vars      Step = "vars"
	Gate      Step = "gate"
	Build     Step = "build"
	Copy      Step = "copy"
	Secrets   Step = "secrets"
	Activate  Step = "activate"
	Health    Step = "health"
)

// Steps are all steps in their order.
func Steps() []Step {
	return []Step{Preflight, Vars, Gate, Build, Copy, Secrets, Activate, Health}
}

// Event tells where a bootstrap is. Its states are those of package deploy.
type Event struct {
	Machine string       `json:"machine"`
	Step    Step         `json:"step"`
	State   deploy.State `json:"state"`
	Message string       `json:"message,omitempty"`
	Time    time.Time    `json:"time"`
}

// Report is how a bootstrap ended.
type Report struct {
	Machine string       `json:"machine"`
	Target  string       `json:"target"`
	Steps   []StepReport `json:"steps"`
	// Out is the system that the machine was brought to.
	Out string `json:"out,omitempty"`
	// Next is the command to go on with after a failure.
	Next string `json:"next,omitempty"`
	// Err is why it stopped.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`

	exitCode int
}

// StepReport is how one step ended; a step that was not reached is not started.
type StepReport struct {
	Step    Step         `json:"step"`
	State   deploy.State `json:"state"`
	Message string       `json:"message,omitempty"`
}

// ExitCode is the exit code for the command line.
func (r *Report) ExitCode() int { return r.exitCode }
