package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// A machine that is claimed by one run is refused to another, with the owner's
// name, for as long as the run's driver is there.
func TestClaim(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "claimed"})
	connect := func() *sshTarget {
		target := newSSHTarget("ssh://claimed", func(ctx context.Context) (*ssh.Conn, error) {
			return ssh.Dial(ctx, ssh.Config{Target: ssh.Target{Host: "claimed"}, Env: os.Environ(), File: n.SSHConfig})
		}, 10*time.Second)
		if err := target.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { target.Close() })
		return target
	}
	first, second := connect(), connect()
	refused := func(owner string) {
		t.Helper()
		var busy *BusyError
		if _, err := second.Claim(t.Context(), "run-2", "me", "/nix/store/none"); !errors.As(err, &busy) || busy.Owner != owner || busy.Target != "ssh://claimed" {
			t.Errorf("it is not refused in the name of %q: %v", owner, err)
		}
		facts, err := second.scripted.Inspect(t.Context(), "", "")
		if seen := facts.claimed("ssh://claimed", "run-2"); err != nil || !errors.As(seen, &busy) || busy.Owner != owner || busy.Target != "ssh://claimed" {
			t.Errorf("a look does not show that %q has it: %v, %v", owner, seen, err)
		}
	}
	free := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			lease, err := second.Claim(t.Context(), "run-2", "me", "/nix/store/none")
			if err == nil {
				lease.Release()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	sleeps := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, _, code := h.Exec(t.Context(), "pgrep", "-x", "sleep"); (code == 0) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the daemon runs: %t", !want)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if _, err := first.output(t.Context(), `cat >/run/fleet/lease`, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}

	lease, err := first.Claim(t.Context(), "run-1", "crs58@stibnite \n of the house", "/nix/store/none")
	if err != nil {
		t.Fatal(err)
	}
	refused("crs58@stibnite of the house")
	if _, err := first.output(t.Context(), "mkdir -p /nix/var/nix/profiles; ln -s system-3-link /nix/var/nix/profiles/system; ln -s /nix/store/none /run/current-system", nil); err != nil {
		t.Fatal(err)
	}
	if place, err := lease.Renew(t.Context()); err != nil || place != (Place{System: "/nix/store/none", Generation: 3}) {
		t.Errorf("renewed: %+v, %v", place, err)
	}
	again, err := first.Claim(t.Context(), "run-1", "the same run, over the same connection", "/nix/store/none")
	if err != nil {
		t.Errorf("the run itself is refused: %v", err)
	}
	if place, err := lease.Renew(t.Context()); err == nil {
		t.Errorf("a claim that was made anew is renewed: %+v", place)
	}
	lease.Release()
	refused("the same run, over the same connection")
	again.Release()
	free()

	// A driver that is gone without a word: its connection is, too.
	if _, err := first.Claim(t.Context(), "run-1", "crs58", "/nix/store/none"); err != nil {
		t.Fatal(err)
	}
	refused("crs58")
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	free()

	// A line that was cut is known to the driver and not to the machine: what the
	// run had there ends when it comes again, or when another takes the machine over.
	for _, stale := range []bool{false, true} {
		first, third := connect(), connect()
		if _, err := first.Claim(t.Context(), "run-1", "crs58", "/nix/store/none"); err != nil {
			t.Fatal(err)
		}
		daemon := make(chan error)
		go func() { daemon <- first.run(t.Context(), "echo; exec sleep 600", nil, nil) }()
		sleeps(true)
		run := "run-1"
		if stale {
			run = "run-3"
			if _, err := second.output(t.Context(), `sed -i 's/^run-1 \([0-9]*\) [0-9]*/run-1 \1 1/' /run/fleet/lease`, nil); err != nil {
				t.Fatal(err)
			}
		}
		lease, err := third.Claim(t.Context(), run, "the next", "/nix/store/none")
		if err != nil {
			t.Fatal(err)
		}
		if err := <-daemon; err == nil {
			t.Error("its daemon came to its end")
		}
		<-first.conn.Done()
		sleeps(false)
		refused("the next") // its end has not taken the new claim away
		lease.Release()
	}

	// Or it is only silent, and the connection hangs; or the file is no claim.
	first = connect()
	up, err := first.output(t.Context(), `uptime; echo "$up"`, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(fmt.Sprintf("run-0 1 %s 1 somebody\n", strings.TrimSpace(up)))
	refused("somebody")
	for _, text := range []string{"run-0 1 1 1 somebody silent\n", "", "nonsense\n"} {
		write(text)
		if facts, err := second.scripted.Inspect(t.Context(), "", ""); err != nil || facts.claim != nil {
			t.Errorf("%q is a claim: %+v, %v", text, facts.claim, err)
		}
		free()
	}
	if got, err := h.ReadFile("/run/fleet/lease"); err == nil {
		t.Errorf("a claim is left: %s", got)
	}
}

func TestParsePlace(t *testing.T) {
	for line, want := range map[string]Place{
		"held system-12-link /nix/store/a-nixos": {System: "/nix/store/a-nixos", Generation: 12},
		"held - /nix/store/a-nixos":              {System: "/nix/store/a-nixos"},
		"held system-1-link ":                    {Generation: 1},
		"held - ":                                {},
	} {
		if got := parsePlace(line); got != want {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestParseBusy(t *testing.T) {
	for line, want := range map[string]BusyError{
		"busy 90 crs58@stibnite": {Owner: "crs58@stibnite", Age: 90 * time.Second},
		"busy 3 two words":       {Owner: "two words", Age: 3 * time.Second},
		"busy x":                 {},
	} {
		if got, ok := parseBusy(line); !ok || *got != want {
			t.Errorf("%q: %+v, %t", line, got, ok)
		}
	}
	if _, ok := parseBusy("held"); ok {
		t.Error("held is busy")
	}
}
