package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars"
)

// minFree is the room that a machine's store must have before anything is
// built for it; whether the system itself fits is seen when its size is known.
const minFree = 64 << 20

// The exit codes of a bootstrap that package deploy does not give.
const (
	exitFailed      = 1
	exitInterrupted = 130
)

// Bootstrap brings a machine to its first system, or goes on where an earlier
// bootstrap stopped.
func Bootstrap(ctx context.Context, o Options, m Machine) *Report {
	b := &bootstrap{o: o, machine: m, report: &Report{Machine: m.Name, Target: m.Address}}
	for _, s := range Steps() {
		b.report.Steps = append(b.report.Steps, StepReport{Step: s, State: deploy.NotStarted})
	}
	if b.o.OnEvent == nil {
		b.o.OnEvent = func(Event) {}
	}
	b.o.Deploy.OnEvent = b.onDeploy
	deployer := deploy.New(b.o.Deploy)
	step, err := b.run(ctx, deployer)
	err = errors.Join(err, deployer.Close())
	if err != nil {
		b.fail(ctx, step, err)
	}
	return b.report
}

// bootstrap is one run of Bootstrap.
type bootstrap struct {
	o       Options
	machine Machine
	report  *Report
}

// run goes through the steps and gives the one that failed.
func (b *bootstrap) run(ctx context.Context, d *deploy.Deployer) (Step, error) {
	for _, s := range []struct {
		step Step
		do   func(context.Context, *deploy.Deployer) (string, error)
	}{{Preflight, b.preflight}, {Vars, b.vars}, {Gate, b.gate}} {
		if err := ctx.Err(); err != nil {
			return s.step, err
		}
		b.set(s.step, deploy.Started, "")
		message, err := s.do(ctx, d)
		if err != nil {
			return s.step, err
		}
		b.set(s.step, deploy.Done, message)
	}
	if step, err := b.deploy(ctx, d); err != nil {
		return step, err
	}
	b.set(Health, deploy.Started, "")
	message, err := b.health(ctx, d)
	if err != nil {
		return Health, err
	}
	b.set(Health, deploy.Done, message)
	return "", nil
}

// preflight finds out whether the machine can be deployed to at all.
func (b *bootstrap) preflight(ctx context.Context, d *deploy.Deployer) (string, error) {
	s := d.Status(ctx, []deploy.Machine{{Name: b.machine.Name, Class: b.machine.Class, Address: b.machine.Address}})[0]
	b.report.Target = s.Target
	if s.Err != nil {
		return "", s.Err
	}
	// Room that could not be measured is not held against the machine.
	if free := s.Found.Store; free.Total > 0 && free.Free < minFree {
		return "", fmt.Errorf("there is too little room for a system on %s (%s)", s.Target, free)
	}
	if s.Verdict == deploy.NeverDeployed {
		return "reachable, nothing deployed yet; " + s.Found.Store.String(), nil
	}
	return "reachable, at generation " + fmt.Sprint(s.Found.Generation), nil
}

// vars makes the machine's missing values.
func (b *bootstrap) vars(ctx context.Context, _ *deploy.Deployer) (string, error) {
	details, err := b.o.Evaluate(ctx, b.machine.Name, false)
	if err != nil {
		return "", err
	}
	return b.o.Generate(ctx, b.machine.Name, details)
}

// gate lets the machine through if all its values are there, can be decrypted
// and are encrypted to it.
func (b *bootstrap) gate(ctx context.Context, _ *deploy.Deployer) (string, error) {
	details, err := b.o.Evaluate(ctx, b.machine.Name, false)
	if err != nil {
		return "", err
	}
	findings, err := b.o.Check(ctx, b.machine.Name, details)
	if err != nil {
		return "", err
	}
	if len(findings) > 0 {
		return "", &GateError{Machine: b.machine.Name, Findings: findings}
	}
	files := 0
	for _, g := range details.Generators {
		files += len(g.Files)
	}
	return fmt.Sprintf("%d values are in order", files), nil
}

// GateError says why a machine's values are not ready.
type GateError struct {
	Machine  string
	Findings []vars.Finding
}

func (e *GateError) Error() string {
	var lines []string
	for _, f := range e.Findings {
		lines = append(lines, f.String())
	}
	return fmt.Sprintf("the values of %s are not ready: %s", e.Machine, strings.Join(lines, "; "))
}

// deploy brings the machine to its system, unless it is there, and gives the
// step that failed.
func (b *bootstrap) deploy(ctx context.Context, d *deploy.Deployer) (Step, error) {
	if err := ctx.Err(); err != nil {
		return Build, err
	}
	b.set(Build, deploy.Started, "")
	details, err := b.o.Evaluate(ctx, b.machine.Name, true)
	if err != nil {
		return Build, err
	}
	result := d.Update(ctx, []deploy.Machine{b.deployMachine(details)}).Results[0]
	b.report.Out, b.report.Next = result.Out, result.Next
	switch result.State {
	case deploy.Done:
		// A step without an event had nothing to do.
		for _, s := range []Step{Build, Copy, Secrets, Activate} {
			if r := b.step(s); r.State != deploy.Done {
				b.set(s, deploy.Unchanged, "")
			}
		}
		b.step(Activate).Message = result.Message
		return "", nil
	case deploy.Unchanged:
		for _, s := range []Step{Build, Copy, Secrets, Activate} {
			b.set(s, deploy.Unchanged, "")
		}
		return "", nil
	}
	return stepOf(result.Phase), &deployError{result}
}

func (b *bootstrap) deployMachine(details *flake.Details) deploy.Machine {
	return deploy.Machine{Name: b.machine.Name, Class: b.machine.Class, Address: b.machine.Address, Details: details}
}

// deployError is a deploy that did not succeed.
type deployError struct{ result deploy.Result }

func (e *deployError) Error() string { return e.result.Message }
func (e *deployError) Unwrap() error { return e.result.Err }

// health looks at the machine as it is now.
func (b *bootstrap) health(ctx context.Context, d *deploy.Deployer) (string, error) {
	details, err := b.o.Evaluate(ctx, b.machine.Name, true)
	if err != nil {
		return "", err
	}
	s := d.Status(ctx, []deploy.Machine{b.deployMachine(details)})[0]
	switch {
	case s.Err != nil:
		return "", s.Err
	case !s.Good():
		text := fmt.Sprintf("%s is %s, its age key is %s", b.machine.Name, s.Verdict, s.Key)
		return "", errors.New(strings.Join(append([]string{text}, s.Notes...), "; "))
	}
	return fmt.Sprintf("%s, generation %d", s.Verdict, s.Found.Generation), nil
}

// onDeploy turns the events of the deploy into those of the bootstrap, where an
// activation is done when it is confirmed.
func (b *bootstrap) onDeploy(e deploy.Event) {
	if e.Phase == deploy.Activate && e.State == deploy.Done || e.Phase == deploy.Confirm && e.State == deploy.Started {
		return
	}
	switch e.Phase {
	case deploy.Build, deploy.Copy, deploy.Secrets, deploy.Activate, deploy.Confirm:
		b.set(stepOf(e.Phase), e.State, e.Message)
	}
}

// stepOf is the step that a phase of a deploy belongs to. What fails while the
// machine is reached once more fails the build, which has not begun.
func stepOf(phase deploy.Phase) Step {
	switch phase {
	case deploy.Copy:
		return Copy
	case deploy.Secrets:
		return Secrets
	case deploy.Activate, deploy.Confirm:
		return Activate
	}
	return Build
}

func (b *bootstrap) step(step Step) *StepReport {
	for i := range b.report.Steps {
		if b.report.Steps[i].Step == step {
			return &b.report.Steps[i]
		}
	}
	return &StepReport{Step: step}
}

// set notes how a step stands and tells it.
func (b *bootstrap) set(step Step, state deploy.State, message string) {
	r := b.step(step)
	r.State = state
	if state != deploy.Running {
		r.Message = message
	}
	b.o.OnEvent(Event{Machine: b.machine.Name, Step: step, State: state, Message: message, Time: b.o.Deploy.Now()})
}

// fail ends a bootstrap at a step.
func (b *bootstrap) fail(ctx context.Context, step Step, err error) {
	state, code := deploy.Failed, exitFailed
	var failed *deployError
	var gate *GateError
	if errors.As(err, &gate) {
		b.report.Next = gate.Findings[0].Mend
	}
	switch {
	case errors.As(err, &failed):
		state = failed.result.State
		code = (&deploy.Summary{Results: []deploy.Result{failed.result}}).ExitCode()
	case ctx.Err() != nil:
		state, code = deploy.Interrupted, exitInterrupted
		err = fmt.Errorf("interrupted; run the command again to go on: %w", err)
	}
	b.report.Err, b.report.Error, b.report.exitCode = err, err.Error(), code
	if b.report.Next == "" {
		b.report.Next = "fleet host bootstrap " + b.machine.Name
	}
	b.set(step, state, err.Error())
}
