package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/vars"
	"github.com/google/go-cmp/cmp"
)

// fleet has four machines: a is right, b does not evaluate, c lacks a value that
// it shares with d, and d is for another platform.
func fleet() Options {
	return Options{
		Inventory: &flake.Inventory{Machines: map[string]flake.Machine{
			"a": {Class: flake.NixOS}, "b": {Class: flake.NixOS}, "c": {Class: flake.NixOS}, "d": {Class: flake.Darwin},
		}},
		Machines: []string{"a", "b", "c", "d"},
		Evaluate: func(context.Context, []string) (*flake.Evaluated, error) {
			return &flake.Evaluated{
				Details: map[string]*flake.Details{"a": {Name: "a"}, "c": {Name: "c"}, "d": {Name: "d"}},
				Failed:  map[string]*flake.MachineError{"b": {Machine: "b", Err: errors.New("undefined variable, at b.nix:3")}},

				Violations: []string{"role controller needs a machine"},
			}, nil
		},
		Check: func(context.Context, map[string]*flake.Details) ([]vars.Finding, error) {
			return []vars.Finding{{Machines: []string{"c", "d"}, Value: "shared/ca/key", Problem: "it has no value", Mend: "generate it"}}, nil
		},
		Build: func(_ context.Context, machines []deploy.Machine) *deploy.Summary {
			results := []deploy.Result{
				{Machine: "d", Err: fmt.Errorf("build: %w", &deploy.ForeignSystemError{System: "aarch64-darwin"})},
				{Machine: "c", Err: errors.New("x"), Message: "the builder failed", Next: "nix log x"},
				{Machine: "a"},
			}
			return &deploy.Summary{Results: results[3-len(machines):]}
		},
		OnStage: func(Stage) {},
		OnCheck: func(Check) {},
	}
}

func TestRun(t *testing.T) {
	o := fleet()
	var told []string
	o.OnStage = func(s Stage) { told = append(told, string(s)) }
	o.OnCheck = func(c Check) { told = append(told, c.Machine+" "+string(c.Status)) }
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []Check{
		{Evaluate, "a", Pass, "", ""},
		{Evaluate, "b", Fail, "it does not evaluate: undefined variable, at b.nix:3", ""},
		{Evaluate, "c", Pass, "", ""},
		{Evaluate, "d", Pass, "", ""},
		{Evaluate, "", Fail, "role controller needs a machine", "change the inventory"},
		{Secrets, "c, d", Fail, "shared/ca/key: it has no value", "generate it"},
		{Secrets, "a", Pass, "", ""},
		{Build, "a", Pass, "", ""},
		{Build, "c", Fail, "the builder failed", "nix log x"},
		{Build, "d", Left, "it is for aarch64-darwin, which cannot be built here", ""},
	}
	if diff := cmp.Diff(want, report.Checks); diff != "" {
		t.Error(diff)
	}
	if got := []int{report.Count(Pass), report.Count(Fail), report.Count(Left)}; !cmp.Equal(got, []int{5, 4, 1}) {
		t.Errorf("counts %v", got)
	}
	wantTold := "evaluate|a pass|b fail|c pass|d pass| fail|secrets|c, d fail|a pass|build|a pass|c fail|d left"
	if got := strings.Join(told, "|"); got != wantTold {
		t.Errorf("told %s", got)
	}
}

func TestRunWithoutBuild(t *testing.T) {
	o := fleet()
	o.Build = nil
	report, err := Run(t.Context(), o)
	if err != nil || report.Checks[len(report.Checks)-1].Stage != Secrets {
		t.Errorf("%v, %v", report, err)
	}
}

// An error of looking is no finding.
func TestRunErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, change := range map[string]func(*Options){
		"evaluate": func(o *Options) {
			o.Evaluate = func(context.Context, []string) (*flake.Evaluated, error) { return nil, broken }
		},
		"check": func(o *Options) {
			o.Check = func(context.Context, map[string]*flake.Details) ([]vars.Finding, error) { return nil, broken }
		},
	} {
		o := fleet()
		change(&o)
		if _, err := Run(t.Context(), o); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, fleet()); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run says %v", err)
	}
}
