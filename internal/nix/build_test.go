package nix_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

func TestBuild(t *testing.T) {
	dir := newFlake(t)
	c := newCLI(t, dir)
	private := t.TempDir() // a store of this test's own, where nothing is built yet
	store := fmt.Sprintf("local?store=%s/store&state=%[1]s/state&log=%[1]s/log", private)
	built, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{".#ok"}, Store: store, DryRun: true})
	if err != nil || len(built) != 1 {
		t.Fatalf("dry run: %v, %v", built, err)
	}
	if _, err := os.Stat(built[0].Outputs["out"]); err == nil {
		t.Error("the dry run has built")
	}
	var events []nix.Event
	link := filepath.Join(t.TempDir(), "result")
	built, err = c.Build(t.Context(), nix.BuildRequest{
		Installables: []string{".#ok", ".#user"}, Store: store, OutLink: link, OnEvent: func(e nix.Event) { events = append(events, e) },
	})
	if err != nil || len(built) != 2 {
		t.Fatalf("%v, %v", built, err)
	}
	ok := built[slices.IndexFunc(built, func(r nix.BuildResult) bool { return strings.HasSuffix(r.DrvPath, "-ok.drv") })]
	if data, err := os.ReadFile(ok.Outputs["out"]); err != nil || string(data) != "hi\n" {
		t.Errorf("the output is %q, %v", data, err)
	}
	if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, private) {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	var log, finished bool
	for _, e := range events {
		log = log || e.Kind == nix.LogLine && e.Name() == "ok" && e.Text == "working"
		finished = finished || e.Kind == nix.Finished && e.Activity == nix.Build && e.Name() == "ok"
	}
	if !log || !finished {
		t.Errorf("events: log %v, finished %v: %+v", log, finished, events)
	}
	again, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{ok.DrvPath + "^*"}, Store: store})
	if err != nil || len(again) != 1 || again[0].Outputs["out"] != ok.Outputs["out"] {
		t.Errorf("by derivation: %v, %v", again, err)
	}
	if none, err := c.Build(t.Context(), nix.BuildRequest{}); none != nil || err != nil {
		t.Errorf("nothing: %v, %v", none, err)
	}
}

func TestBuildFailure(t *testing.T) {
	c := newCLI(t, newFlake(t))
	_, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{".#ok", ".#fail", ".#dependent"}, KeepGoing: true})
	e := asError(t, err)
	if len(e.Failures) != 2 {
		t.Fatalf("failures: %+v", e.Failures)
	}
	cause, dependent := e.Failures[0], e.Failures[1]
	if !strings.HasSuffix(cause.DrvPath, "-fail.drv") || cause.Dependency || !slices.Equal(cause.Log, []string{"first line", "last line"}) {
		t.Errorf("cause: %+v", cause)
	}
	if !strings.HasSuffix(dependent.DrvPath, "-dependent.drv") || !dependent.Dependency {
		t.Errorf("dependent: %+v", dependent)
	}
	for _, part := range []string{"nix build .#ok .#fail .#dependent: ", "exit code 3", "it printed last: first line ⏎ last line; failed with it: dependent", e.LogPath} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestHashMismatch(t *testing.T) {
	dir := nixtest.Flake(t, map[string]string{"flake.nix": strings.ReplaceAll(`{
  outputs = _: { packages.SYSTEM.fixed = builtins.derivation {
    name = "fixed"; system = "SYSTEM"; builder = "/bin/busybox"; args = [ "sh" "-c" "echo x > $out" ];
    outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  }; };
}
`, "SYSTEM", nix.System())})
	_, err := newCLI(t, dir).Build(t.Context(), nix.BuildRequest{Installables: []string{".#fixed"}})
	if !errors.Is(err, nix.ErrHashMismatch) {
		t.Error(err)
	}
}
