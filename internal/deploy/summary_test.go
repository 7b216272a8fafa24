package deploy

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		states []State
		code   int
		text   string
	}{
		{nil, 0, "no machines"},
		{[]State{Done, Unchanged}, 0, "1 done, 1 unchanged"},
		{[]State{Failed}, 1, "1 failed"},
		{[]State{Failed, Failed}, 1, "2 failed"},
		{[]State{Failed, Unchanged}, 3, "1 unchanged, 1 failed"},
		{[]State{Failed, Unknown, Interrupted}, 5, "1 failed, 1 unknown, 1 interrupted"},
		{[]State{Done, Failed, Interrupted}, 130, "1 done, 1 failed, 1 interrupted"},
		{[]State{Done, NotStarted}, 130, "1 done, 1 not started"},
	} {
		s := &Summary{}
		for i, state := range test.states {
			s.Results = append(s.Results, Result{Machine: fmt.Sprint(i), State: state})
		}
		if got := s.ExitCode(); got != test.code {
			t.Errorf("%v: exit code %d, want %d", test.states, got, test.code)
		}
		if got := s.Text(); got != test.text {
			t.Errorf("%v: %q, want %q", test.states, got, test.text)
		}
	}
}

func TestOutcome(t *testing.T) {
	const out = "/nix/store/new"
	for _, test := range []struct {
		name       string
		class      flake.Class
		code       int
		after      Facts
		newly      []string
		want, note string
	}{
		{name: "done", class: flake.NixOS, after: Facts{System: out}},
		{name: "done on darwin", class: flake.Darwin, after: Facts{System: out}},
		{name: "not switched", class: flake.Darwin, after: Facts{System: "/nix/store/old"}, want: "the activation ended without an error, but the machine still runs /nix/store/old; the profile is the new system"},
		{name: "script", class: flake.NixOS, code: 2, after: Facts{System: out}, want: "the activation script failed (exit status 2): last words; the machine runs the new system"},
		{name: "script on darwin", class: flake.Darwin, code: 2, want: "the activation failed (exit status 2): last words; the machine runs no system; the profile is the new one"},
		{name: "units", class: flake.NixOS, code: 4, after: Facts{System: out, FailedUnits: []string{"a.service", "old.service"}}, newly: []string{"a.service"}, want: "the system is active, but units failed: a.service"},
		{name: "units of before", class: flake.NixOS, code: 4, after: Facts{System: out, FailedUnits: []string{"old.service"}}, want: "the system is active, but units failed: old.service"},
		{name: "units without names", class: flake.NixOS, code: 4, after: Facts{System: out}, want: "the system is active, but units failed (exit status 4): last words"},
		{name: "reboot", class: flake.NixOS, code: 100, after: Facts{System: "/nix/store/old"}, note: "installed, but the machine must be rebooted to run it"},
		{name: "no reboot on darwin", class: flake.Darwin, code: 100, after: Facts{System: out}, want: "the activation failed (exit status 100): last words; the machine runs the new system"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := outcome{class: test.class, code: test.code, want: out, after: test.after, newlyFailed: test.newly, lastWords: "last words"}
			got := ""
			if err := o.failure(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("failure %q, want %q", got, test.want)
			}
			if got := o.note(); got != test.note {
				t.Errorf("note %q, want %q", got, test.note)
			}
		})
	}
}

func TestFail(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("it broke")
	for _, test := range []struct {
		name  string
		ctx   context.Context
		phase Phase
		err   error
		state State
		next  string
	}{
		{"reach", t.Context(), Reach, broken, Failed, "ssh m true"},
		{"build", t.Context(), Build, broken, Failed, "fleet machines build m"},
		{"activate", t.Context(), Activate, broken, Failed, "fleet machines update m"},
		{"unknown", interrupted, Activate, fmt.Errorf("%w: lost", ErrUnknown), Unknown, "fleet machines status m"},
		{"full", t.Context(), Copy, &DiskFullError{Free: "make room"}, Failed, "make room"},
		{"fixable", t.Context(), Secrets, &fixableError{broken, "mend it"}, Failed, "mend it"},
		{"units", t.Context(), Activate, &UnitsFailedError{[]string{"a.service"}}, Failed, "ssh m journalctl -b -u a.service"},
		{"not started", interrupted, Reach, context.Canceled, NotStarted, ""},
		{"interrupted", interrupted, Copy, context.Canceled, Interrupted, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Result{Machine: "m", Target: "ssh://m"}.fail(test.ctx, test.phase, test.err)
			if r.State != test.state || r.Next != test.next || r.Message == "" || r.Err == nil || r.Phase != test.phase {
				t.Errorf("%+v; want state %s, next %q", r, test.state, test.next)
			}
		})
	}
}
