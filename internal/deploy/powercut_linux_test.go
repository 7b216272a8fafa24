package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// What a power cut has left of a deploy locks nobody out: it counts as none, is
// said once, and of those who begin then, at once, one has the machine.
func TestEmptiedDeploy(t *testing.T) {
	if !InComputer(t) {
		return
	}
	system := addSystem(t)
	const lost = "20260101-lost"
	for i, test := range []struct {
		name    string
		current string
		// files are those of the folder of the lost deploy; nil: there is none.
		files map[string]string
	}{
		{name: "empty link"},
		{name: "empty link, whole deploy", files: map[string]string{"plan": "out=/x\nsince=1\n", "supervise": "exit 1"}},
		{name: "no deploy", current: lost},
		{name: "no plan", current: lost, files: map[string]string{"plan": "", "supervise": "exit 1"}},
		{name: "half a plan", current: lost, files: map[string]string{"plan": "out=/x\n", "supervise": "exit 1"}},
		{name: "no supervisor", current: lost, files: map[string]string{"plan": "out=/x\nsince=1\n", "supervise": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.RemoveAll("/var/lib/fleet/" + lost); err != nil {
				t.Fatal(err)
			}
			place(t, "/var/lib/fleet/current", test.current)
			for name, text := range test.files {
				place(t, filepath.Join("/var/lib/fleet", lost, name), text)
			}
			target := &newLocalTarget(flake.NixOS, true, nil).scripted
			if facts, err := target.Inspect(t.Context(), "", ""); err != nil || facts.Deploy != nil {
				t.Errorf("%+v is under way (%v)", facts.Deploy, err)
			}
			if p, err := target.Look(t.Context(), lost, Progress{}, 0); err != nil || p.Stand != Gone {
				t.Errorf("the lost one is %+v, %v; want gone", p, err)
			}
			if err := target.Settle(t.Context()); err != nil {
				t.Error(err)
			}

			begun := make([]error, 4)
			found, _ := os.Readlink("/run/current-system")
			id := func(n int) string { return fmt.Sprintf("20260102-%d-%d", i, n) }
			var all sync.WaitGroup
			for n := range begun {
				all.Go(func() {
					begun[n] = target.Begin(t.Context(), Activation{ID: id(n), Class: flake.NixOS, Out: system, Found: found, Goal: Switch, Token: "token", Limit: time.Minute, Window: time.Minute})
				})
			}
			all.Wait()
			won := -1
			for n, err := range begun {
				busy := (*BusyError)(nil)
				switch {
				case err == nil && won >= 0:
					t.Errorf("both %d and %d have the machine", won, n)
				case err == nil:
					won = n
				case !errors.As(err, &busy):
					t.Errorf("%d: %v", n, err)
				}
			}
			if won < 0 {
				t.Fatal("nobody has the machine")
			}
			if log := followed(t, target, id(won)); strings.Count(log, "a power cut") != 1 {
				t.Errorf("it said\n%s", log)
			}
			for _, pattern := range []string{"/var/lib/fleet/.[0-9]*", "/var/lib/fleet/current", "/var/lib/fleet/emptied", "/nix/var/nix/gcroots/fleet/*", "/run/fleet/*"} {
				if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
					t.Errorf("%q is left (%v)", left, err)
				}
			}
		})
	}
}

// A deploy that is begun over several connections is one, and it is on the disk
// before its link is.
func TestBegunTwice(t *testing.T) {
	if !InComputer(t) {
		return
	}
	system := addSystem(t)
	bin := t.TempDir()
	place(t, bin+"/sync", "#!/bin/sh\n[ -e /var/lib/fleet/current ] || for path; do echo \"$path\" >>/run/before; done\n[ ! -e /var/lib/fleet/current ] || echo \"$@\" >>/run/after\nexec /usr/bin/sync \"$@\"\n")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	target := &newLocalTarget(flake.NixOS, true, nil).scripted
	a := Activation{ID: "20260102-1", Class: flake.NixOS, Out: system, Goal: Switch, Token: "token", Limit: time.Minute, Window: time.Minute}
	begin := func() {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := target.Begin(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	begin()
	log := followed(t, target, a.ID)
	begin() // it knows that it has ended
	if again := followed(t, target, a.ID); again != log || strings.Count(log, "activating with test") != 1 {
		t.Errorf("it said\n%s\nand then\n%s", log, again)
	}
	before, after := readText(t, "/run/before"), readText(t, "/run/after")
	for _, name := range []string{"/plan\n", "/supervise\n", "/id\n", "/confirmed\n", "/var/lib/fleet\n"} {
		if !strings.Contains(before, name) {
			t.Errorf("%q is not on the disk when the link is made, only\n%s", name, before)
		}
	}
	if !strings.Contains(after, "/var/lib/fleet\n") || !strings.Contains(after, a.ID+"/result\n") {
		t.Errorf("after the link only this was put on the disk:\n%s", after)
	}
}

// followed confirms an activation and gives what it said up to its end.
func followed(t *testing.T, target *scripted, id string) (log string) {
	t.Helper()
	for p := (Progress{}); p.Stand != Ended; time.Sleep(10 * time.Millisecond) {
		var err error
		if p, err = target.Look(t.Context(), id, p, 0); err != nil || p.Stand == Gone || p.Stand == Dead {
			t.Fatalf("it is %s, %v", p.Stand, err)
		}
		log += p.Output
		if p.Stand == Waiting {
			if _, err := target.Decide(t.Context(), id, "token", Confirmed); err != nil {
				t.Fatal(err)
			}
		}
		if p.Stand == Ended && p.Ending != EndDone {
			t.Errorf("it ended with %+v and said\n%s", p, log)
		}
	}
	return log
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// place writes a file, with its folder; of no text it writes an empty one.
func place(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
