// Package verify is the gate before a deploy and in CI: it evaluates every
// machine, looks at every value, and builds what can be built here. All
// findings are gathered; the first does not hide the second.
package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars"
)

// Stage is a part of the verification.
type Stage string

// The stages, in their order.
const (
	Evaluate Stage = "evaluate"
	Secrets  Stage = "secrets"
	Build    Stage = "build"
)

// Stages are all stages in order.
func Stages() []Stage { return []Stage{Evaluate, Secrets, Build} }

// Status is how a check ended.
type Status string

// The statuses. Left is what could not be checked here and is no failure.
const (
	Pass Status = "pass"
	Fail Status = "fail"
	Left Status = "left"
)

// Check is one thing that was looked at.
type Check struct {
	Stage   Stage  `json:"stage"`
	Machine string `json:"machine"`
	Status  Status `json:"status"`
	// Text says what is wrong; empty for what passes.
	Text string `json:"text,omitempty"`
	// Mend is what to do about it.
	Mend string `json:"mend,omitempty"`
}

// Report is everything that was looked at.
type Report struct {
	Checks []Check `json:"checks"`
}

// Count gives the number of checks with a status.
func (r *Report) Count(status Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == status {
			n++
		}
	}
	return n
}

// Options are the machines and what looks at them.
type Options struct {
	Inventory *flake.Inventory
	Machines  []string
	// Evaluate evaluates machines with their systems.
	Evaluate func(ctx context.Context, machines []string) (*flake.Evaluated, error)
	// Check finds what is wrong with the values of machines.
	Check func(ctx context.Context, details map[string]*flake.Details) ([]vars.Finding, error)
	// Build builds the systems of machines; nil leaves the stage out.
	Build func(ctx context.Context, machines []deploy.Machine) *deploy.Summary
	// OnStage and OnCheck are told of progress.
	OnStage func(Stage)
	OnCheck func(Check)
}

// Run verifies. The error is about looking; what was found is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, report: &Report{Checks: []Check{}}}
	o.OnStage(Evaluate)
	evaluated, err := o.Evaluate(ctx, o.Machines)
	if err != nil {
		return nil, err
	}
	for _, name := range o.Machines {
		if failed := evaluated.Failed[name]; failed != nil {
			r.add(Check{Evaluate, name, Fail, failed.Error(), ""})
		} else {
			r.add(Check{Evaluate, name, Pass, "", ""})
		}
	}
	for _, violation := range evaluated.Violations {
		r.add(Check{Evaluate, "", Fail, violation, "change the inventory"})
	}
	o.OnStage(Secrets)
	if err := r.secrets(ctx, evaluated); err != nil {
		return nil, err
	}
	if o.Build != nil {
		o.OnStage(Build)
		r.build(ctx, evaluated)
	}
	return r.report, ctx.Err()
}

type run struct {
	Options
	report *Report
}

func (r *run) add(c Check) {
	r.report.Checks = append(r.report.Checks, c)
	r.OnCheck(c)
}

func (r *run) secrets(ctx context.Context, evaluated *flake.Evaluated) error {
	findings, err := r.Check(ctx, evaluated.Details)
	if err != nil {
		return err
	}
	wrong := map[string]bool{}
	for _, f := range findings {
		text := f.Problem
		if f.Value != "" {
			text = f.Value + ": " + text
		}
		for _, m := range f.Machines {
			wrong[m] = true
		}
		r.add(Check{Secrets, strings.Join(f.Machines, ", "), Fail, text, f.Mend})
	}
	for _, name := range evaluated.Names() {
		if !wrong[name] {
			r.add(Check{Secrets, name, Pass, "", ""})
		}
	}
	return nil
}

func (r *run) build(ctx context.Context, evaluated *flake.Evaluated) {
	var machines []deploy.Machine
	for _, name := range evaluated.Names() {
		machines = append(machines, deploy.Machine{Name: name, Class: r.Inventory.Machines[name].Class, Details: evaluated.Details[name]})
	}
	summary := r.Build(ctx, machines)
	slices.SortFunc(summary.Results, func(a, b deploy.Result) int { return strings.Compare(a.Machine, b.Machine) })
	for _, result := range summary.Results {
		var foreign *deploy.ForeignSystemError
		switch {
		case result.Err == nil:
			r.add(Check{Build, result.Machine, Pass, "", ""})
		case errors.As(result.Err, &foreign):
			r.add(Check{Build, result.Machine, Left, fmt.Sprintf("it is for %s, which cannot be built here", foreign.System), ""})
		default:
			r.add(Check{Build, result.Machine, Fail, result.Message, result.Next})
		}
	}
}
