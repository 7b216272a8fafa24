package deploy

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// rootsEnv names, for a process of nobody's, a program that is root's.
const rootsEnv = "FLEET_TEST_ROOTS_PROGRAM"

// A program that is root's, and that nobody lets us end, holds nobody up.
func TestRunBounded(t *testing.T) {
	const became = "root now"
	switch program := os.Getenv(rootsEnv); {
	case program == "":
	case os.Geteuid() == 0:
		if err := syscall.Setuid(0); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(became)
		time.Sleep(15 * time.Second)
		return
	default:
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cmd := exec.Command(program, "-test.run=^TestRunBounded$")
		cmd.Stdout = writerFunc(func(text []byte) (int, error) {
			if strings.Contains(string(text), became) {
				cancel()
			}
			return len(text), nil
		})
		start := time.Now()
		if err := runBounded(ctx, cmd); !errors.Is(err, context.Canceled) || time.Since(start) > 12*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		return
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "fleet-bounded-") // nobody may enter it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "program")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Chmod(program, os.ModeSetuid|0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestRunBounded$")
	copied := filepath.Join(dir, "nobodys")
	if err := os.WriteFile(copied, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Path = copied
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), rootsEnv+"="+program, "PATH=/nonexistent")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What a program has started ends with it, also what hears no signal.
func TestRunBoundedGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said strings.Builder
	cmd := exec.Command("/bin/sh", "-c", `sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' & wait`)
	cmd.Stdout = writerFunc(func(text []byte) (int, error) {
		cancel()
		return said.Write(text)
	})
	if err := runBounded(ctx, cmd); err == nil {
		t.Error("it ended well")
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) { // it dies of what it was sent
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(said.String()) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is there still: %s", stat)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Who types a password takes longer than a machine may to answer.
func TestSlowPassword(t *testing.T) {
	if !InComputer(t) {
		return
	}
	dir := t.TempDir()
	place(t, dir+"/sudo", `#!/bin/sh
[ "$1" != -v ] || { sleep 2; : >`+dir+`/typed; exit 0; }
while [ "$1" != -- ]; do [ "$1" != true ] || { [ -e `+dir+`/typed ]; exit; }; shift; done
shift
exec "$@"
`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	d := New(Options{Now: time.Now, Run: "run", Owner: "me", Settings: Settings{Timeouts: Timeouts{Reach: time.Second}}})
	w := &way{d: d, m: Machine{Name: "m"}, t: newLocalTarget(flake.NixOS, false, func(use func(io.Reader, io.Writer) error) error { return use(nil, io.Discard) })}
	if err := w.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.lease.Release()
}

// settled is this computer with a deploy that was cut off and goes back.
type settled struct {
	*localTarget
	looks  int
	cancel func()
}

func (c *settled) Adopt(context.Context, string) (Activation, error) {
	return Activation{}, errNoActivation
}
func (c *settled) Settle(context.Context) error { return nil }

func (c *settled) Look(ctx context.Context, _ string, _ Progress, _ time.Duration) (Progress, error) {
	c.looks++
	c.cancel()
	if ctx.Err() != nil {
		return Progress{}, ctx.Err()
	}
	if c.looks < 3 {
		return Progress{Stand: RollingBack, Code: -1}, nil
	}
	return Progress{Stand: Ended, Ending: EndRolledBack, Cause: CauseKilled}, nil
}

// Ctrl-C while a deploy is settled that was cut off waits for its end, and begins
// nothing then.
func TestSettleInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &settled{localTarget: newLocalTarget(flake.NixOS, true, nil), cancel: cancel}
	w := &way{d: New(Options{Now: time.Now, Run: "run"}), m: Machine{Name: "m"}, t: c}
	w.s.Now.Deploy = &Underway{ID: "20260101-x"}
	if err := w.settle(ctx); !errors.Is(err, context.Canceled) || c.looks != 3 {
		t.Errorf("after %d looks: %v", c.looks, err)
	}
}
