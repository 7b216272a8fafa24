package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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
		{[]State{RolledBack}, 4, "1 rolled back"},
		{[]State{RolledBack, Done}, 4, "1 done, 1 rolled back"},
		{[]State{RolledBack, Failed}, 1, "1 failed, 1 rolled back"},
		{[]State{RolledBack, Failed, Done}, 3, "1 done, 1 failed, 1 rolled back"},
		{[]State{Failed, Unknown, Interrupted}, 5, "1 failed, 1 unknown, 1 interrupted"},
		{[]State{Done, Failed, Interrupted}, 130, "1 done, 1 failed, 1 interrupted"},
		{[]State{Done, NotStarted}, 130, "1 done, 1 not started"},
		{[]State{Skipped}, 0, "1 skipped"},
		{[]State{Skipped, Done}, 0, "1 done, 1 skipped"},
		{[]State{Skipped, Failed}, 1, "1 failed, 1 skipped"},
		{[]State{Skipped, Failed, Done}, 3, "1 done, 1 failed, 1 skipped"},
		{[]State{Skipped, RolledBack}, 4, "1 rolled back, 1 skipped"},
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
	old := Facts{System: "/nix/store/old", Profile: "/nix/store/old", Generation: 7}
	elsewhere := Facts{System: "/nix/store/old", Profile: "/nix/store/next", Generation: 8}
	for _, test := range []struct {
		name       string
		class      flake.Class
		progress   Progress
		verdict    error
		unseen     error
		after      Facts
		want, note string
	}{
		{name: "done", progress: Progress{Ending: EndDone}},
		{name: "units of before", progress: Progress{Ending: EndDone, Code: 4}, after: Facts{FailedUnits: []string{"old.service"}}, note: "units that had failed before are failed still: old.service"},
		{name: "reboot", progress: Progress{Ending: EndDone, Code: 100}, after: old, note: "installed, but the machine must be rebooted to run it"},
		{name: "script", progress: Progress{Ending: EndRolledBack, Cause: CauseFailed, Code: 2}, after: old, want: "the activation script failed (exit status 2): last words; the machine is back on generation 7"},
		{name: "script, with another profile", progress: Progress{Ending: EndRolledBack, Cause: CauseFailed, Code: 2}, after: elsewhere, want: "the activation script failed (exit status 2): last words; the machine is back on /nix/store/old"},
		{name: "script on darwin", class: flake.Darwin, progress: Progress{Ending: EndRolledBack, Cause: CauseFailed, Code: 2}, after: old, want: "the activation failed (exit status 2): last words; the machine is back on generation 7"},
		{name: "no reboot on darwin", class: flake.Darwin, progress: Progress{Ending: EndRolledBack, Cause: CauseFailed, Code: 100}, want: "the activation failed (exit status 100): last words; the machine is back on the system of before"},
		{name: "refused", progress: Progress{Ending: EndFailed, Cause: CauseFailed, Code: 1}, after: old, want: "the system refused to be activated (exit status 1): last words; nothing was changed, the machine runs /nix/store/old"},
		{name: "locked", progress: Progress{Ending: EndFailed, Cause: CauseFailed, Code: 11}, after: old, want: "another activation is under way on the machine (exit status 11): last words; nothing was changed, the machine runs /nix/store/old"},
		{name: "overdue", progress: Progress{Ending: EndRolledBack, Cause: CauseFailed, Code: 124}, after: old, want: "the activation took longer than 5m0s and was stopped: last words; the machine is back on generation 7"},
		{name: "units", progress: Progress{Ending: EndRolledBack, Cause: CauseRejected, Code: 4}, verdict: &UnitsFailedError{[]string{"a.service"}}, after: old, want: "units failed: a.service; the machine is back on generation 7"},
		{name: "rejected by another", progress: Progress{Ending: EndRolledBack, Cause: CauseRejected}, after: old, want: "the new system was rejected; the machine is back on generation 7"},
		{name: "unconfirmed", progress: Progress{Ending: EndRolledBack, Cause: CauseExpired}, unseen: errors.New("the machine could not be reached"), after: old, want: "the new system was not confirmed within 1m0s: the machine could not be reached; the machine is back on generation 7"},
		{name: "unconfirmed by another", progress: Progress{Ending: EndRolledBack, Cause: CauseExpired}, after: old, want: "the new system was not confirmed within 1m0s: its driver was gone; the machine is back on generation 7"},
		{name: "unrestarted", progress: Progress{Ending: EndRolledBack, Cause: CauseUnrestarted}, after: old, want: "the machine could not be restarted: last words; the machine is back on generation 7"},
		{name: "rebooted", progress: Progress{Ending: EndRolledBack, Cause: CauseRebooted, Code: -1}, after: old, want: "the machine was restarted before its new system was confirmed; the machine is back on generation 7"},
		{name: "killed at first", progress: Progress{Ending: EndFailed, Cause: CauseKilled, Code: -1}, want: "the activation was killed: last words; the machine runs no system, and there is none to go back to"},
		{name: "uncommitted", progress: Progress{Ending: EndRolledBack, Cause: CauseUncommitted}, after: old, want: "the new system could not be made the one that is booted: last words; the machine is back on generation 7"},
		{name: "stranded", progress: Progress{Ending: EndStranded, Cause: CauseExpired, Code: 2}, want: "the new system was not confirmed within 1m0s: its driver was gone; going back to the system of before failed too (exit status 2): look at the machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := outcome{
				progress: test.progress, class: cmp.Or(test.class, flake.NixOS), verdict: test.verdict, unconfirmed: test.unseen, after: test.after,
				window: time.Minute, limit: 5 * time.Minute, lastWords: "last words",
			}
			got := ""
			if err := o.failure(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("failure %q, want %q", got, test.want)
			}
			if got := o.note(); test.want == "" && got != test.note {
				t.Errorf("note %q, want %q", got, test.note)
			}
		})
	}
}

func TestInhibited(t *testing.T) {
	for _, test := range []struct {
		o    outcome
		want bool
	}{
		{outcome{progress: Progress{Cause: CauseFailed, Code: 1}, class: flake.NixOS, lastWords: "Pre-switch check 'switchInhibitors' failed"}, true},
		{outcome{progress: Progress{Cause: CauseFailed, Code: 1}, class: flake.NixOS, lastWords: "Pre-switch check 'disk' failed"}, false},
		{outcome{progress: Progress{Cause: CauseFailed, Code: 2}, class: flake.NixOS, lastWords: "switchInhibitors"}, false},
		{outcome{progress: Progress{Cause: CauseFailed, Code: 1}, class: flake.Darwin, lastWords: "switchInhibitors"}, false},
	} {
		if got := test.o.inhibited(); got != test.want {
			t.Errorf("%+v: %t", test.o, got)
		}
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
		{"unknown", interrupted, Activate, fmt.Errorf("%w: lost", ErrUnknown), Unknown, "fleet machines attach m"},
		{"full", t.Context(), Copy, &DiskFullError{Free: "make room"}, Failed, "make room"},
		{"fixable", t.Context(), Secrets, &fixableError{broken, "mend it"}, Failed, "mend it"},
		{"units", t.Context(), Activate, &UnitsFailedError{[]string{"a.service"}}, Failed, "ssh m journalctl -b -u a.service"},
		{"busy", t.Context(), Reach, &BusyError{Owner: "you"}, Failed, "fleet machines status m"},
		{"activating", t.Context(), Reach, &BusyError{Owner: "you", ID: "1"}, Failed, "fleet machines attach m"},
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
