package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// The supervisor that runs on machines, seen without a connection in between.
func TestSupervise(t *testing.T) {
	if !InComputer(t) {
		return
	}
	system := addSystem(t)
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	// What drivers whose clocks are ahead have left, and one that was killed.
	const states = "/var/lib/fleet"
	for i := range 6 {
		if err := os.MkdirAll(fmt.Sprintf("%s/20990101-%d", states, i), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := target.Mark(t.Context(), system); err != nil {
		t.Fatal(err)
	}
	a := Activation{ID: "20260101-test", Class: flake.NixOS, Out: system, Goal: Switch, Owner: "me", Token: "token", Limit: time.Minute, Window: time.Minute}
	err := target.Begin(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	log, decided := "", false
	for p := (Progress{}); p.Stand != Ended; time.Sleep(10 * time.Millisecond) {
		if p, err = target.Look(t.Context(), a.ID, p, 0); err != nil {
			t.Fatal(err)
		}
		log += p.Output
		if p.Stand == Waiting && !decided {
			decided = true
			for _, try := range []struct {
				token string
				want  Decision
			}{{"guessed", undecidedStranger}, {"token", Confirmed}, {"guessed", Confirmed}} {
				if got, err := target.Decide(t.Context(), a.ID, try.token, Confirmed); err != nil || got != try.want {
					t.Errorf("decided with %q: %s, %v; want %s", try.token, got, err, try.want)
				}
			}
		}
	}
	for _, want := range []string{"activating with test\ndone", "activating with boot", "fleet: done 0"} {
		if !strings.Contains(log, want) {
			t.Errorf("it said %q, want %q", log, want)
		}
	}
	// A confirmation that comes too late changes nothing any more.
	late := Activation{ID: "20260102-late", Class: flake.NixOS, Out: system, Found: system, Goal: Switch, Token: "token", Limit: time.Minute, Window: time.Second}
	p := begun(t, target, late, Ended)
	if got, err := target.Decide(t.Context(), late.ID, "token", Confirmed); err != nil || got != Decision(CauseExpired) || p.Cause != CauseExpired {
		t.Errorf("it was confirmed too late: %s, %v, %+v", got, err, p)
	}
	facts, err := target.Inspect(t.Context(), "", "")
	if err != nil || facts.System != system || facts.Activating != system || facts.Generation != 1 {
		t.Errorf("after: %+v, %v", facts, err)
	}
	if last, err := target.Adopt(t.Context(), ""); err != nil || last.ID != late.ID {
		t.Errorf("the last deploy is %+v, %v; want %s", last, err, late.ID)
	}
	for _, id := range []string{a.ID, late.ID} {
		if _, err := os.Stat(filepath.Join(states, id, "result")); err != nil {
			t.Errorf("the end of %s is not kept: %v", id, err)
		}
	}
	if kept, err := filepath.Glob(states + "/2*"); err != nil || len(kept) != 5 {
		t.Errorf("it keeps %q (%v), want five", kept, err)
	}
}

// activates is what on this computer and on machines is the same of a [Target].
type activates interface {
	Begin(ctx context.Context, a Activation) error
	Look(ctx context.Context, id string, last Progress, wait time.Duration) (Progress, error)
	Decide(ctx context.Context, id, token string, wanted Decision) (Decision, error)
}

// begun begins an activation and looks at it until it stands like that.
func begun(t *testing.T, target activates, a Activation, until Stand) Progress {
	t.Helper()
	a.Found, _ = os.Readlink("/run/current-system")
	a.Class, a.Token = flake.NixOS, "token"
	if a.Window == 0 {
		a.Window = time.Minute
	}
	if a.Limit == 0 {
		a.Limit = time.Minute
	}
	// The one before tells its end a moment before it lets go of the machine.
	var busy *BusyError
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if err := target.Begin(t.Context(), a); err == nil {
			break
		} else if !errors.As(err, &busy) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return lookUntil(t, target, a.ID, until)
}

// lookUntil confirms nothing.
func lookUntil(t *testing.T, target activates, id string, until Stand) Progress {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p, err := target.Look(t.Context(), id, Progress{}, 0)
		if err != nil || p.Stand == Gone {
			t.Fatalf("it is %s, %v", p.Stand, err)
		}
		if p.Stand == until {
			return p
		}
	}
	t.Fatalf("it does not come to be %s", until)
	return Progress{}
}

func confirm(t *testing.T, target activates, id string) {
	t.Helper()
	if got, err := target.Decide(t.Context(), id, "token", Confirmed); err != nil || got != Confirmed {
		t.Fatalf("decided %s, %v", got, err)
	}
}

// A system that runs, and cannot be made the one that is booted, leaves the profile
// where it was, and is activated again; so is one that was to go back and could not.
func TestSuperviseUncommitted(t *testing.T) {
	if !InComputer(t) {
		return
	}
	const noBoot = `[ "$1" != boot ] || [ ! -e /run/noboot ] || exit 1`
	first, second := addSystem(t), addSystem(t, noBoot, "# another")
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	begun(t, target, Activation{ID: "20260101-1", Out: first, Goal: Switch}, Waiting)
	confirm(t, target, "20260101-1")
	begun(t, target, Activation{ID: "20260101-2", Out: second, Goal: Test}, Waiting)
	confirm(t, target, "20260101-2")
	lookUntil(t, target, "20260101-2", Ended)
	place(t, "/run/noboot", "")
	begun(t, target, Activation{ID: "20260101-3", Out: second, Goal: Switch}, Waiting)
	confirm(t, target, "20260101-3")
	if p := lookUntil(t, target, "20260101-3", Ended); p.Ending != EndFailed || p.Cause != CauseUncommitted {
		t.Errorf("it ended with %+v", p)
	}
	facts, err := target.Inspect(t.Context(), "", "")
	if err != nil || facts.System != second || facts.Profile != first || facts.Activating != second {
		t.Errorf("%+v, %v", facts, err)
	}

	// The same by this process.
	own := newLocalTarget(flake.NixOS, true, nil)
	update := func(id string) Progress {
		t.Helper()
		a := Activation{ID: id, Class: flake.NixOS, Out: second, Goal: Switch, Limit: time.Minute, Window: time.Minute}
		a.Found, _ = os.Readlink("/run/current-system")
		if err := own.Begin(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		for p := (Progress{}); ; {
			if p, err = own.Look(t.Context(), id, p, time.Second); err != nil {
				t.Fatal(err)
			}
			switch p.Stand {
			case Waiting:
				confirm(t, own, id)
			case Ended:
				return p
			}
		}
	}
	if p := update("20260101-4"); p.Ending != EndFailed || p.Cause != CauseUncommitted {
		t.Errorf("it ended with %+v", p)
	}
	if facts, err := target.Inspect(t.Context(), "", ""); err != nil || facts.Profile != first || facts.Activating != second {
		t.Errorf("%+v, %v", facts, err)
	}
	begun(t, target, Activation{ID: "20260101-5", Out: first, Goal: Test}, Waiting)
	confirm(t, target, "20260101-5")
	lookUntil(t, target, "20260101-5", Ended)
	// Its profile cannot be led back to a generation that is not there.
	if err := os.Remove("/nix/var/nix/profiles/system-1-link"); err != nil {
		t.Fatal(err)
	}
	if p := update("20260101-6"); p.Ending != EndStranded || p.Cause != CauseUncommitted {
		t.Errorf("it ended with %+v", p)
	}
}

// A restart after the confirmation, and before it counted, is not taken for its end.
func TestSuperviseRestartedAtCommit(t *testing.T) {
	if !InComputer(t) {
		return
	}
	first, second := addSystem(t), addSystem(t, `[ "$1" != boot ] || exit 0`)
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	begun(t, target, Activation{ID: "20260101-0", Out: first, Goal: Switch}, Waiting)
	confirm(t, target, "20260101-0")
	for _, test := range []struct {
		goal    Goal
		want    Progress
		profile string
	}{
		{Test, Progress{Stand: Ended, Ending: EndRolledBack, Cause: CauseRebooted}, first},
		{Switch, Progress{Stand: Ended, Ending: EndDone, Code: codeRebootNeeded}, second},
	} {
		id := "20260101-" + string(test.goal)
		begun(t, target, Activation{ID: id, Out: second, Goal: test.goal}, Waiting)
		pid, err := strconv.Atoi(strings.TrimSpace(readText(t, "/run/fleet/"+id+".pid")))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(
			syscall.Kill(-pid, syscall.SIGKILL), os.Link("/var/lib/fleet/"+id+"/confirmed", "/var/lib/fleet/"+id+"/decision"),
			os.RemoveAll("/run/fleet"), os.Remove("/run/current-system"), os.Symlink(first, "/run/current-system"), target.Settle(t.Context()),
		); err != nil {
			t.Fatal(err)
		}
		p := lookUntil(t, target, id, Ended)
		p.Output, p.Position = "", ""
		if p != test.want {
			t.Errorf("%s: it ended with %+v, want %+v", test.goal, p, test.want)
		}
		if got, _ := filepath.EvalSymlinks("/nix/var/nix/profiles/system"); got != test.profile {
			t.Errorf("%s: the profile leads to %s", test.goal, got)
		}
	}
}

// What an activation has started is over when it took too long, also what hears no
// signal.
func TestSuperviseOverdue(t *testing.T) {
	if !InComputer(t) {
		return
	}
	deaf := addSystem(t, `sh -c 'trap "" TERM; echo $$ >/run/deaf; while :; do sleep 1; done' &`, "sleep 600")
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	p := begun(t, target, Activation{ID: "20260101-1", Out: deaf, Goal: Switch, Limit: time.Second}, Ended)
	if p.Ending != EndFailed || p.Code != codeOverdue {
		t.Errorf("it ended with %+v", p)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(readText(t, "/run/deaf")))
	if err != nil {
		t.Fatal(err)
	}
	// It may have been killed, with nobody here to hear of its end.
	if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(state), ") Z ") {
		t.Errorf("it is there still: %s", state)
	}
}

// A deploy begins neither beside another nor on a machine that somebody has changed.
func TestBeginsAlone(t *testing.T) {
	if !InComputer(t) {
		return
	}
	first, second := addSystem(t), addSystem(t, "# another")
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	begun(t, target, Activation{ID: "20260101-1", Out: first, Goal: Switch}, Waiting)
	own := newLocalTarget(flake.NixOS, true, nil)
	late := Activation{ID: "20260101-2", Class: flake.NixOS, Out: second, Goal: Switch, Limit: time.Minute, Window: time.Minute}
	var busy *BusyError
	if err := own.Begin(t.Context(), late); !errors.As(err, &busy) || busy.ID != "20260101-1" {
		t.Errorf("it began on this computer beside another: %v", err)
	}
	confirm(t, target, "20260101-1")
	lookUntil(t, target, "20260101-1", Ended)
	for name, begin := range map[string]func() error{
		"a machine":     func() error { return target.Begin(t.Context(), late) },
		"this computer": func() error { return own.Begin(t.Context(), late) },
	} {
		err := errors.New("busy")
		for deadline := time.Now().Add(time.Minute); errors.As(err, &busy) || err.Error() == "busy"; time.Sleep(10 * time.Millisecond) {
			if err = begin(); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "runs "+first+" now: somebody has changed it meanwhile") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := os.Readlink("/run/current-system"); got != first {
		t.Errorf("%s runs", got)
	}
}
