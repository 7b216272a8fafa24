package deploy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

func TestCheckLocal(t *testing.T) {
	for _, test := range []struct {
		class flake.Class
		facts Facts
		want  string
	}{
		{flake.NixOS, Facts{os: "Linux", nixos: true}, ""},
		{flake.NixOS, Facts{os: "Linux"}, "does not run NixOS"},
		{flake.NixOS, Facts{os: "Darwin"}, "does not run NixOS"},
		{flake.Darwin, Facts{os: "Darwin"}, ""},
		{flake.Darwin, Facts{os: "Linux", nixos: true}, "not a Mac"},
	} {
		err := checkLocal(test.class, test.facts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s on %+v: %v, want %q", test.class, test.facts, err, test.want)
		}
	}
}

// This computer is stood for by a sandbox, see [InComputer].
func TestLocal(t *testing.T) {
	if !InComputer(t) {
		return
	}
	system := addSystem(t)
	var shown strings.Builder
	target := newLocalTarget(flake.NixOS, true, func(use func(io.Reader, io.Writer) error) error { return use(nil, &shown) })
	const keyFile = "/var/lib/sops-nix/key.txt"
	facts, err := target.Inspect(t.Context(), keyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	if facts.System != "" || facts.Key.Digest != "" || facts.Generation != 0 || facts.Store.Total == 0 {
		t.Errorf("before: %+v", facts)
	}
	if err := target.WriteFile(t.Context(), keyFile, []byte("key\n")); err != nil {
		t.Fatal(err)
	}
	lease, err := target.Claim(t.Context(), "run", "me", "/nix/store/none")
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := newLocalTarget(flake.NixOS, true, nil).Claim(t.Context(), "another", "you", "/nix/store/none"); !errors.As(err, &busy) || busy.Owner != "me" {
		t.Errorf("another run may claim it too: %v", err)
	}
	a := Activation{ID: "20260101-test", Class: flake.NixOS, Out: system, Goal: Switch, Owner: "me", Token: "token", Limit: time.Minute, Window: time.Minute}
	for range 2 { // the second time changes nothing
		if err := target.Begin(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	lease.Release()
	for p := (Progress{}); p.Stand != Ended; time.Sleep(10 * time.Millisecond) {
		if p, err = target.Look(t.Context(), a.ID, p, 0); err != nil {
			t.Fatal(err)
		}
		if p.Stand == Waiting {
			for _, try := range []Decision{Confirmed, Rejected} {
				if got, err := target.Decide(t.Context(), a.ID, "", try); err != nil || got != Confirmed {
					t.Errorf("decided %s: %s, %v", try, got, err)
				}
			}
		}
	}
	if want := "activating with test\ndoneactivating with boot\ndone"; shown.String() != want {
		t.Errorf("the terminal shows %q, want %q", shown.String(), want)
	}
	// A confirmation that comes too late changes nothing any more.
	late := Activation{ID: "20260102-late", Class: flake.NixOS, Out: system, Found: system, Goal: Switch, Token: "token", Limit: time.Minute, Window: time.Second}
	p := begun(t, target, late, Ended)
	if got, err := target.Decide(t.Context(), late.ID, "token", Confirmed); err != nil || got != Decision(CauseExpired) || p.Cause != CauseExpired {
		t.Errorf("it was confirmed too late: %s, %v, %+v", got, err, p)
	}
	facts, err = target.Inspect(t.Context(), keyFile, late.ID)
	if err != nil {
		t.Fatal(err)
	}
	if facts.System != system || facts.Activating != system || facts.Generation != 1 || facts.Key.Mode != 0o600 || facts.Key.Digest != digest([]byte("key\n")) {
		t.Errorf("after: %+v", facts)
	}
	if _, err := newLocalTarget(flake.Darwin, true, nil).Inspect(t.Context(), keyFile, ""); err == nil {
		t.Error("a Mac was seen here")
	}
	if p, err := target.Look(t.Context(), "20260101-another", Progress{}, 0); err != nil || p.Stand != Gone {
		t.Errorf("an activation of nobody: %+v, %v", p, err)
	}
}

// Which Nix a machine has is told by where it comes from.
func TestPackageOfNix(t *testing.T) {
	if !InComputer(t) {
		return
	}
	const store = "/nix/store/0c0v9m1cz1xxd1rvvc1s6b8yjpi0kb3i-"
	path := os.Getenv("PATH")
	for i, test := range []struct{ program, from, to, want string }{
		// In a profile of many packages a link leads to the program, in one of a single
		// package to its folder.
		{store + "nix-2.31.1/bin/nix-daemon", "nix-daemon", store + "nix-2.31.1/bin/nix-daemon", "nix-2.31.1"},
		{store + "lix-2.93.0/bin/nix-daemon", "", store + "lix-2.93.0/bin", "lix-2.93.0"},
		{"/run/nix/bin/nix-daemon", "nix-daemon", "/run/nix/bin/nix-daemon", ""},
	} {
		place(t, test.program, "")
		link := filepath.Join("/run", fmt.Sprint(i), "bin", test.from)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(test.to, link)); err != nil {
			t.Fatal(err)
		}
		bin := filepath.Join("/run", fmt.Sprint(i), "bin")
		t.Setenv("PATH", bin+":"+path)
		facts, err := newLocalTarget(flake.NixOS, true, nil).Inspect(t.Context(), "", "")
		if err != nil || facts.Nix != test.want || facts.daemon != bin+"/nix-daemon" {
			t.Errorf("%s: %q, %q, %v; want %q", test.program, facts.Nix, facts.daemon, err, test.want)
		}
	}
}

// addSystem puts a system made of one script into the store, with more lines of the
// script if there are any.
func addSystem(t *testing.T, lines ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "system")
	program := filepath.Join(dir, "bin/switch-to-configuration")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
echo "activating with $1"
` + strings.Join(lines, "\n") + `
sleep 0.3
out=${0%/bin/*}
ln -sfn "$out" /run/current-system
printf done
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "nix-store", "--add", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("nix-store --add: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
