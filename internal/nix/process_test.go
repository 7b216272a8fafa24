package nix_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
)

func TestNixMissing(t *testing.T) {
	for name, opts := range map[string]nix.Options{
		"not in PATH": {Env: []string{"PATH=" + t.TempDir()}},
		"no PATH":     {},
		"no file":     {Program: "/no/such/nix"},
	} {
		c := nix.New(opts)
		if _, err := c.Version(t.Context()); !errors.Is(err, nix.ErrNixMissing) {
			t.Errorf("%s: version: %v", name, err)
		}
		if err := c.Eval(t.Context(), nix.EvalRequest{Expr: "1"}, new(any)); !errors.Is(err, nix.ErrNixMissing) {
			t.Errorf("%s: eval: %v", name, err)
		}
	}
}

// script puts a program in the place of nix.
func script(t *testing.T, body string) nix.Options {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nix"), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return nix.Options{Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, LogDir: t.TempDir()}
}

func TestVersions(t *testing.T) {
	for line, want := range map[string]string{
		"nix (Nix) 2.26.3":                   "2.26.3",
		"nix (Nix) 2.18.0":                   "2.18.0",
		"nix (Nix) 2.32.0pre20250919_abcdef": "2.32.0pre20250919_abcdef",
		"nix (Lix, like Nix) 2.91.1":         "2.91.1",
		"nix (Determinate Nix 3.6.2) 2.29.0": "2.29.0",
		"nix (Nix) 3.0":                      "3.0",
		"nix (Nix) 2.17.9":                   "",
		"nix (Nix) 2.3":                      "",
		"something else":                     "",
	} {
		got, err := nix.New(script(t, "echo '"+line+"'\n")).Version(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	if v, err := newCLI(t, "").Version(t.Context()); err != nil || v == "" {
		t.Errorf("the real one: %q, %v", v, err)
	}
}

// A nix that is too old is found out when it fails, and by one process.
func TestTooOldNix(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	opts := script(t, `echo "$1" >> `+calls+`
if [ "$1" = --version ]; then echo 'nix (Nix) 2.3.16'; exit; fi
echo "error: unrecognised flag '--extra-experimental-features'" >&2
exit 1
`)
	c := nix.New(opts)
	for range 2 {
		err := c.Eval(t.Context(), nix.EvalRequest{Expr: "1"}, new(any))
		var old *nix.TooOldError
		if !errors.As(err, &old) || old.Have != "2.3.16" || old.Want != nix.MinVersion {
			t.Fatalf("want a *TooOldError, have %v", err)
		}
		for _, part := range []string{"2.3.16 is too old", "at least 2.18", "upgrade"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q lacks %q", err, part)
			}
		}
	}
	data, _ := os.ReadFile(calls)
	if n := strings.Count(string(data), "--version"); n != 1 {
		t.Errorf("asked for the version %d times", n)
	}
}

func TestNothingSecretReachesNix(t *testing.T) {
	opts := script(t, `env | sort | sed 's/.*/"&",/' > "$HOME/env"; echo 1`)
	home := t.TempDir()
	opts.Env = append(opts.Env, "HOME="+home, "SOPS_AGE_KEY=AGE-SECRET-KEY-1", "SOPS_AGE_KEY_FILE=/k", "FLEET_PROMPT_X=p",
		"GITHUB_TOKEN=t", "GIT_DIR=/elsewhere", "NIX_CONF_DIR=/c")
	if err := nix.New(opts).Eval(t.Context(), nix.EvalRequest{Expr: "1"}, new(any)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(home, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SOPS_", "FLEET_", "GITHUB_TOKEN", "GIT_DIR"} {
		if strings.Contains(string(data), name) {
			t.Errorf("%s reaches nix:\n%s", name, data)
		}
	}
	for _, name := range []string{"PATH=", "HOME=", "NIX_CONF_DIR=/c", "GIT_TERMINAL_PROMPT=0"} {
		if !strings.Contains(string(data), `"`+name) {
			t.Errorf("%s does not reach nix:\n%s", name, data)
		}
	}
}

// processes are the living ones whose command line matches.
func processes(t *testing.T, match func(pid int, cmdline string) bool) (pids []int) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err == nil && match(pid, string(data)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestCancel(t *testing.T) {
	dir := newFlake(t)
	c := newCLI(t, dir)
	for name, tt := range map[string]struct {
		run func(context.Context, func(nix.Event)) error
		// underWay says of an event that the work has begun
		underWay func(nix.Event) bool
	}{
		"endless evaluation": {
			func(ctx context.Context, onEvent func(nix.Event)) error {
				args := []string{"--option", "max-call-depth", "4000000000"}
				return c.Eval(ctx, nix.EvalRequest{Installable: dir + "#loop", Args: args, OnEvent: onEvent}, new(any))
			},
			func(e nix.Event) bool { return e.Kind == nix.Message && strings.Contains(e.Text, "looping") },
		},
		"sleeping builder": {
			func(ctx context.Context, onEvent func(nix.Event)) error {
				_, err := c.Build(ctx, nix.BuildRequest{Installables: []string{dir + "#sleeper"}, OnEvent: onEvent})
				return err
			},
			func(e nix.Event) bool { return e.Kind == nix.LogLine && e.Text == "sleeping" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours := func() []int {
				return processes(t, func(_ int, cmdline string) bool {
					return strings.Contains(cmdline, dir) || strings.Contains(cmdline, "987654")
				})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var start time.Time
			err := tt.run(ctx, func(e nix.Event) {
				if start.IsZero() && tt.underWay(e) {
					if len(ours()) == 0 {
						t.Error("the processes are not found")
					}
					start = time.Now()
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("want context.Canceled, have %v", err)
			}
			asError(t, err)
			t.Logf("ended %v after the cancel: %v", time.Since(start).Round(time.Millisecond), err)
			waitFor(t, "the processes to be gone", func() bool { return len(ours()) == 0 })
		})
	}
}

// A nix that ignores SIGTERM, with children in its group, is killed in time.
func TestCancelKills(t *testing.T) {
	t.Parallel()
	opts := script(t, `trap '' TERM; sleep 7654321 & sleep 7654321; sleep 7654321`)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := nix.New(opts).Eval(ctx, nix.EvalRequest{Expr: "1"}, new(any))
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	waitFor(t, "the group to be gone", func() bool {
		return len(processes(t, func(_ int, cmdline string) bool { return strings.Contains(cmdline, "7654321") })) == 0
	})
}

// A nix that has answered is not made to fail, nor waited for, by a helper that
// keeps its streams open.
func TestHelperLeftBehind(t *testing.T) {
	t.Parallel()
	var got int
	start := time.Now()
	err := nix.New(script(t, "sleep 8765432 & echo 1")).Eval(t.Context(), nix.EvalRequest{Expr: "1"}, &got)
	if err != nil || got != 1 {
		t.Errorf("%d, %v", got, err)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	waitFor(t, "the helper to be gone", func() bool {
		return len(processes(t, func(_ int, cmdline string) bool { return strings.Contains(cmdline, "8765432") })) == 0
	})
}

func TestKilledNix(t *testing.T) {
	err := nix.New(script(t, `[ "$1" = --version ] && exec echo "nix (Nix) 2.26.3"; kill -9 $$`)).Eval(t.Context(), nix.EvalRequest{Expr: "1"}, new(any))
	if e := asError(t, err); !strings.Contains(e.Message, "memory") {
		t.Error(err)
	}
}
